"""Builders for TensorFlow Datasets; nothing of tfxml imports them."""
