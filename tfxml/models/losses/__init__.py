"""Losses, computed from sparse positives."""
