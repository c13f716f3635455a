"""A set of two features for the model ``demo``, and its rows: what tests of sets have in common."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from cloud_hub.features.intake import taken
from cloud_hub.hub import Hub
from cloud_hub.packs.publishing import pack_file
from edge_sdk.packs.entity_features import EntityFeatures

TEXT = """
name: user_orders
entity: user_id
owner: shop@example.com
freshness: 1h
models: [demo]
features:
  - {name: f0, dtype: float32, default: -1}
  - {name: f2, dtype: float32, default: 0.25}
"""


def rows(*each: tuple[str, float, float, float]) -> pa.Table:
    """Rows of entity, seconds ago, f0 and f2."""
    return rows_at(time.time(), *each)


def rows_at(now: float, *each: tuple[str, float, float, float]) -> pa.Table:
    """The same at another time."""
    user, ago, f0, f2 = zip(*each, strict=True)
    at = [now - seconds for seconds in ago]
    return pa.table({"user_id": user, "event_timestamp": at, "f0": f0, "f2": f2})


def take(hub: Hub, table: pa.Table, **more: Any) -> Any:
    return hub.feature_sets.take("user_orders", table, actor="test", source="test", **more)


def keep(hub: Hub, table: pa.Table, now: float) -> None:
    """Keep rows and give them to nobody, as a hub does that is killed right then."""
    of = hub.feature_sets.named("user_orders")
    kept = taken(table, of.declared, now=now)
    hub.feature_sets.history.add(of, kept, source="test", actor="test", now=now)


@contextlib.contextmanager
def on_device(hub: Hub, version: str | None = None) -> Iterator[EntityFeatures]:
    """The features that the plan names for what serves, as a device opens them."""
    plan = hub.plans.current("demo")
    assert plan is not None
    assert plan.serving.features is not None
    release = hub.registry.release("demo", version or plan.serving.version)
    with pack_file(hub.registry.repository, "demo", plan.serving.features) as file:
        features = EntityFeatures.open(file, release)
        try:
            yield features
        finally:
            features.close()


def served(hub: Hub, entity: str) -> dict[str, Any]:
    with on_device(hub) as features:
        return features.join(entity, {})[0]
