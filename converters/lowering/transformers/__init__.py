"""Lowerings of transformers: what turns columns into other columns before a model."""
