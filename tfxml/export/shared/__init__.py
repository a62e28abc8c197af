"""Code that all export formats share."""
