"""Checks of data before a training: pure, with a report."""
