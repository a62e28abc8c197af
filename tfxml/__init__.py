"""Extreme multi-label classification with TensorFlow and Keras."""

__version__ = "0.1.0"
