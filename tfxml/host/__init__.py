"""The forward pass on a machine's processors, in compiled loops."""
