"""The readers of packs in other languages (``packs/``), held to Python's."""
