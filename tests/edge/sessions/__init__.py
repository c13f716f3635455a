"""Sessions of units on a device."""
