"""The best of many scores; used by every head."""
