"""Prepared data on disk: how shards are written and read."""
