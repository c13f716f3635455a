"""Train on session features and serve them: what a visitor did a minute ago only the device knows.

    python -m examples.visits

A shop's log of events is replayed with the device's own code, so the model is trained on what it
gets later. Visitors who look at dear things within minutes buy more often.
"""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cloud_hub.features.declaration import VersionedSet, parse_set
from cloud_hub.features.session_log import session_features
from converters import convert
from edge_sdk import EdgeDevice

VISIT: Final = """
name: visit
entity: user_id
owner: shop@example.com
source: {session: {fields: {price: float64}, idle: 30m}}
features:
  - {name: clicks_5m, dtype: float32, kind: count, window: 5m}
  - {name: usual_price, dtype: float32, kind: mean, field: price, half_life: 2m, default: 0}
  - {name: pause, dtype: float32, kind: since, default: 3600}
"""


def log_of_a_shop(visitors: int, seed: int) -> tuple[pa.Table, pa.Table]:
    """Return events, and labels: whether who was asked then bought."""
    chance = random.Random(seed)
    events: list[dict[str, Any]] = []
    labels: list[dict[str, Any]] = []
    for visitor in range(visitors):
        at, taste = chance.uniform(0, 1e6), chance.uniform(1, 100)
        for _ in range(chance.randrange(1, 12)):
            at += chance.expovariate(1 / 60)
            price = taste * chance.lognormvariate(0, 0.3)
            events.append({"user_id": f"{visitor}", "event_timestamp": at, "price": price})
        at += chance.expovariate(1 / 120)
        labels.append({"user_id": f"{visitor}", "time": at, "buys": chance.random() < taste / 100})
    return pa.Table.from_pylist(events), pa.Table.from_pylist(labels)


def main(visitors: int = 2_000) -> int:
    """Replay, train, convert, serve; print what two visitors get."""
    declared = VersionedSet(parse_set(VISIT), 1)
    events, labels = log_of_a_shop(visitors, seed=0)
    rows: pd.DataFrame = session_features(declared, events, labels, "time").table.to_pandas()
    columns = list(declared.declared.names)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows[columns], rows["buys"])
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "shop-1.0"
        convert(model, rows[columns], rows["buys"], name="shop", out=out)
        with EdgeDevice.offline(out, sessions=declared.declared.sessions_at(1)) as device:
            for unit, prices in (("dear", (90.0, 95.0, 80.0)), ("cheap", (3.0, 2.0, 4.0))):
                session = device.session(unit)
                for price in prices:
                    session.event({"price": price})
                p = session.predict()
                print(f"{unit}: {session.features()} -> buys: {p.label}, {p.confidence:.0%} sure")
    return 0


if __name__ == "__main__":
    sys.exit(main())
