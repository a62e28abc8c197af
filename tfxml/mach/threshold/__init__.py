"""The exact top labels of a MACH head without scoring every label."""
