"""Hashing and decoding of MACH: arrays and ops, no Keras."""
