"""Prepared data on disk: writes and reads shards."""
