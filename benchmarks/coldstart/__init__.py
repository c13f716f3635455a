"""Cold start: what personalisation on the device is worth, what it costs, and whom it can harm."""
