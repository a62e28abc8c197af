"""Encoders, heads and losses as Keras layers."""
