"""Scripts for an environment of their own (``.venv/peers``): peers and the data that they bring."""
