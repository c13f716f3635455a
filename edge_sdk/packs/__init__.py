"""Files of precomputed answers and of features by entity. The format: docs/PACK.md."""
