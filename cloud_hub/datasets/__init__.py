"""Versions of the datasets of a model: what a version was trained and judged on."""
