"""Web pages: their look, and templates."""
