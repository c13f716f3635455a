"""What runs in an environment of its own (``.venv/peers``): peers and the data that they bring."""
