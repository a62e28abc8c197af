"""The recipe that finds itself: from facts of the data to a config."""
