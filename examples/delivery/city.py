"""A small made-up city: restaurants, and how long their deliveries took."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

COLUMNS: Final = ("average_minutes", "distance_km", "orders_10_min")
"""Of the restaurant, from the store; of the address; of the last minutes in this kitchen."""


class Deliveries(NamedTuple):
    """N past deliveries: which restaurant, its features [N, 3], and the minutes [N]."""

    restaurants: list[str]
    X: NDArray[np.float32]
    minutes: NDArray[np.float32]


class Restaurant(NamedTuple):
    """One restaurant: how quick its kitchen is, in minutes."""

    name: str
    kitchen: float


def restaurants(count: int = 200, seed: int = 0) -> list[Restaurant]:
    """Return restaurants, some quick and some slow."""
    kitchens = np.random.default_rng(seed).gamma(6.0, 3.0, count)
    return [Restaurant(f"restaurant-{i}", float(k)) for i, k in enumerate(kitchens)]


def deliveries(places: list[Restaurant], count: int = 5_000, seed: int = 1) -> Deliveries:
    """Return past deliveries; a kitchen that has many orders is slower."""
    random = np.random.default_rng(seed)
    chosen = random.integers(0, len(places), count)
    kitchens = np.array([place.kitchen for place in places])[chosen]
    distance, orders = random.gamma(2.0, 1.5, count), random.poisson(4.0, count)
    minutes = kitchens * (1 + 0.08 * orders) + 4.0 * distance + random.normal(0, 2.0, count)
    X = np.stack([kitchens + 12.0, distance, orders], axis=1).astype(np.float32)
    names = [places[i].name for i in chosen.tolist()]
    return Deliveries(names, X, minutes.astype(np.float32))
