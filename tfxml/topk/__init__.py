"""The k best of many scores, for every head."""
