"""Learners that take no gradient steps: centroids, linear SVMs."""
