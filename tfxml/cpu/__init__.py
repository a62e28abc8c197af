"""The compiled CPU path: the forward pass in Numba loops."""
