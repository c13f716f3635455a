"""A set of sessions for the model ``demo``, and logs: what tests of sessions have in common."""

from __future__ import annotations

import pyarrow as pa

TEXT = """
name: visit
entity: user_id
owner: shop@example.com
description: What a visitor does now
models: [demo]
source:
  session:
    fields: {item: string, price: float64, paid: bool}
    idle: 10m
    sessions: 500
    memory_mb: 4
    keep: true
features:
  - {name: f0, dtype: float32, kind: count, description: clicks}
  - {name: f1, dtype: float32, kind: mean, field: price, half_life: 1m, default: 0}
  - {name: f2, dtype: float32, kind: count, window: 5m, where: {paid: true}}
  - {name: item, dtype: string, kind: last, field: item, default: none}
"""


def log(*events: tuple[str, float, str | None, float | None]) -> pa.Table:
    """Events of unit, Unix seconds, item and price."""
    user, at, item, price = zip(*events, strict=True)
    return pa.table(
        {
            "user_id": user,
            "event_timestamp": pa.array(at, pa.float64()),
            "item": item,
            "price": price,
        }
    )
