"""The models, rows and groups that a conversion starts from."""
