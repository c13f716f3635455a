"""Flags: devices that claimed what cannot be."""
