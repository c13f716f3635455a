"""Features by entity, under the import path that applications use."""

from edge_sdk.packs.entity_features import EntityFeatures, entity_key, write_entity_features

__all__ = ["EntityFeatures", "entity_key", "write_entity_features"]
