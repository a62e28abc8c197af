"""What every export format uses."""
