"""Counts and labels of what a device predicted, folded into reports."""
