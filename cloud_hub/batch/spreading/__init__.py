"""Batch work that an engine spreads: what travels to nodes, and what is computed there."""
