"""Trained modules of other frameworks: exported, and asked for their own answers."""
