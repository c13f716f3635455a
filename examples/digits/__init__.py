"""Handwritten digits on a fleet of small cameras: the demo."""
