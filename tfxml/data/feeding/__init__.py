"""How instances are fed to devices: sources, batches, order."""
