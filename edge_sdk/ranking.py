"""Rankings, under the import path that applications use."""

from edge_sdk.serving.ranking import Item, Ranking

__all__ = ["Item", "Ranking"]
