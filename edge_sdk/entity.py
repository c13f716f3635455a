"""Features and answers by entity, under the import path that applications use."""

from edge_sdk.contract.pack import EntityPackInfo
from edge_sdk.packs.entity_features import EntityFeatures, entity_key, write_entity_features
from edge_sdk.packs.entity_predictions import (
    EntityPredictions,
    EntityValues,
    entity_keys,
    joined_items,
    write_entity_predictions,
)

__all__ = [
    "EntityFeatures",
    "EntityPackInfo",
    "EntityPredictions",
    "EntityValues",
    "entity_key",
    "entity_keys",
    "joined_items",
    "write_entity_features",
    "write_entity_predictions",
]
