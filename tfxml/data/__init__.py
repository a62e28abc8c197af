"""Readers, text features, the generated data set and how all of it is fed."""
