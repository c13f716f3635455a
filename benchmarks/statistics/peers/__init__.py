"""Peers in an environment of their own (``.venv/peers``), with the data that they bring."""
