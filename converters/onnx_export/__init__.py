"""The graph of a model: export, clean-up, serialisation."""
