"""States of units on a device: in memory, in a file, by a keyed hash of their names."""
