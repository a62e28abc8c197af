"""Feeds instances to devices: sources, batches, order."""
