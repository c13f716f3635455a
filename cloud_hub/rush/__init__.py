"""Versions that were trained in the rush of a rare day, and their way back when it is over."""
