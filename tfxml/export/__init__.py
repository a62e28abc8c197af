"""Exports a trained model to formats for serving."""
