"""Public data sets by name, and how they are downloaded."""
