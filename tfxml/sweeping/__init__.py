"""Searches for the best recipe: which to try, and how to train them."""
