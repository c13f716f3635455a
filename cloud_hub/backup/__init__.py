"""A hub's whole data as one folder: written while it serves, restored, and moved elsewhere."""
