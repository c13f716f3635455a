"""Batch predictions."""
