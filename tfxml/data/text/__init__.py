"""TF-IDF features from raw text, as TensorFlow operations."""
