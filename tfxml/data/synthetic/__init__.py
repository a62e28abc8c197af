"""A generated data set with known label probabilities."""
