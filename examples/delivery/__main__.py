"""When does it arrive? The cold path and the hot path in one call, on a device without a network.

    python -m examples.delivery

Cold: what the cloud computes ahead. Last night's average of each restaurant is stored as a feature;
a larger model has estimated each restaurant for the list of all, before anybody gave an address.
Hot: what only the moment knows. How far it is, and how many orders this kitchen got in the last ten
minutes, counted on this very device.

In a fleet the hub does the cold part: ``edge-hub features`` and a batch job with ``entities: all``
(docs/BATCH.md). Here it is written by hand, so that nothing else has to run.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import LinearRegression

from converters import convert
from edge_sdk import EdgeDevice
from edge_sdk.entity import (
    EntityPackInfo,
    EntityValues,
    entity_keys,
    write_entity_features,
    write_entity_predictions,
)
from edge_sdk.model.release import Release
from examples.delivery.city import COLUMNS, Deliveries, Restaurant, deliveries, restaurants

MINUTES: Final = 10
FRESH_SECONDS: Final = 6 * 3_600
USUAL: Final = {"distance_km": 3.0, "orders_10_min": 4.0}
"""The address and the kitchen that the nightly estimate supposes."""

UNKNOWN_MINUTES: Final = 40.0
"""For a restaurant that opened today."""


class Kitchen:
    """Orders of the last ten minutes of one restaurant, counted where they come in."""

    def __init__(self) -> None:
        self._times: deque[float] = deque()

    def order(self, now: float) -> None:
        """Note an order."""
        self._times.append(now)

    def orders(self, now: float) -> int:
        """Return how many came in the last ten minutes."""
        while self._times and self._times[0] < now - 60 * MINUTES:
            self._times.popleft()
        return len(self._times)


def device_model(past: Deliveries, folder: Path) -> Release:
    """Return the small model that runs on devices."""
    X = pd.DataFrame(past.X, columns=list(COLUMNS))  # names, by which features are joined
    model, out = LinearRegression().fit(X, past.minutes), folder / "delivery-1.0"
    return convert(model, X, past.minutes, name="delivery", out=out, variants=("float32",))


def cold_path(past: Deliveries, places: list[Restaurant], release: Release, folder: Path) -> None:
    """Store each restaurant's average, and what a larger model makes of it by itself."""
    names = [place.name for place in places]
    averages = np.array([place.kitchen + 12.0 for place in places], np.float32)
    typical = float(averages.mean())
    stored = {"average_minutes": averages.tolist()}
    write_entity_features(
        folder / "features.pack", release, names, stored, defaults={"average_minutes": typical}
    )
    larger = GradientBoostingRegressor(n_estimators=60, random_state=0).fit(past.X, past.minutes)
    usual = [[average, *USUAL.values()] for average in averages.tolist()]
    minutes = larger.predict(usual).astype(np.float32)
    about = EntityPackInfo("nightly", 1, time.time(), default=UNKNOWN_MINUTES)
    write_entity_predictions(
        folder / "entities.pack", about, entity_keys(names),
        {"prediction": EntityValues("value", minutes)}, model="delivery", version="1.0",
        manifest=release.digest, answered_by="delivery-large 1.0",
        expires=int(time.time()) + FRESH_SECONDS,
    )  # fmt: skip


def told(device: EdgeDevice, name: str, *, streaming: dict[str, Any] | None = None) -> str:
    """Return what an app would show."""
    p = device.predict(streaming, entity=name)
    age = "" if p.age is None else f", computed {p.age:.0f} s ago"
    return f"{p.value:.0f} minutes (from the {p.source}{age})"


def main() -> int:
    """Train, convert, compute ahead, and ask three times."""
    places = restaurants()
    past = deliveries(places)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        release = device_model(past, folder)
        cold_path(past, places, release, folder)
        kitchen, now = Kitchen(), time.time()
        with EdgeDevice.offline(
            release.folder,
            features=folder / "features.pack",
            entities=folder / "entities.pack",
        ) as device:
            print(f"in the list: {told(device, 'restaurant-7')}")
            for second in range(12):  # a party next door
                kitchen.order(now + 20 * second)
            near = {"distance_km": 1.2, "orders_10_min": kitchen.orders(now + 240)}
            print(f"for an address: {told(device, 'restaurant-7', streaming=near)}")
            print(f"opened today: {told(device, 'restaurant-new')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
