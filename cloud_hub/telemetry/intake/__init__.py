"""Uploads of devices: opened, checked and stored, many in one transaction."""
