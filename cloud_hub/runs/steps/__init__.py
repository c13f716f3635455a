"""The steps of a run: their names and order, their records, and what is the same between two."""
