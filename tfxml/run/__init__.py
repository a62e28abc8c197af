"""The parts of a run: its data, model, folder and console output."""
