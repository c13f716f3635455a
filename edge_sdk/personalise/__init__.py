"""Adapting to a unit (user, session) on the device; imported only where a plan says so."""
