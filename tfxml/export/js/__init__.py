"""TensorFlow.js models and the offline browser page."""
