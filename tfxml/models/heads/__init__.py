"""Heads: the output layers that score labels."""
