"""Metrics as the Extreme Classification Repository defines them."""
