"""Smaller variants of a graph."""
