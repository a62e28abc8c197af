"""The generated data set, whose label probabilities are known."""
