"""Rare days: when they are, what was trained on them, and the way back when they are over."""
