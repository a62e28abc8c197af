"""Readers, one file per format, and the folder that recognises them."""
