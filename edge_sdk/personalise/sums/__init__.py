"""Sums over units for the hub: what leaves a device, when, and with how much noise."""
