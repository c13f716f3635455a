"""Formats of personalisation: priors, and what devices report of it."""
