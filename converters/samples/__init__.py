"""The data that a model is checked on: rows, their groups, and a fingerprint of the data set."""
