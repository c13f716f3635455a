"""Freshness: whether it is worth retraining more often, measured on the history of one model."""
