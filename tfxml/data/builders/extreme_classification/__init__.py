"""The Extreme Classification Repository for TensorFlow Datasets."""
