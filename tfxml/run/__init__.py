"""What a run is made of: its data, parts, folder and console output."""
