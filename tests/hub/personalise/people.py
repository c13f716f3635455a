"""Labelled rows of people whose inputs are shifted, each person's by its own amount."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cloud_hub.data.parquet_files import parquet_bytes
from tests.edge.builders import CLASSES, FEATURES, weights

SEED = 0
NAMES = tuple(f"f{i}" for i in range(FEATURES))


def rows_of(person: int, count: int, *, spread: float = 2.0) -> tuple[NDArray[Any], NDArray[Any]]:
    """Inputs [N, 4] of a person and the classes [N] that they mean; ``spread`` 0: all are alike."""
    rng = np.random.default_rng([person, count])
    own = np.random.default_rng([person, 7]).normal(scale=spread, size=FEATURES)
    directions = weights(SEED).T / np.linalg.norm(weights(SEED), axis=0)[:, None]
    labels = rng.integers(0, CLASSES, count)
    x = 1.5 * directions[labels] + own + rng.normal(scale=0.4, size=(count, FEATURES))
    return x.astype(np.float32), labels


def table(people: int = 24, each: int = 60, *, spread: float = 2.0, **more: Any) -> pa.Table:
    """Columns ``f0`` to ``f3``, ``y``, ``person`` and ``region``."""
    parts = [rows_of(person, each, spread=spread) for person in range(people)]
    x, y = np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
    who = np.repeat([f"person {i}" for i in range(people)], each)
    where = np.repeat(["north" if i % 2 else "south" for i in range(people)], each)
    columns = {name: x[:, i] for i, name in enumerate(NAMES)}
    return pa.table({**columns, "y": y, "person": who, "region": where, **more})


def rows_file(people: int = 24, each: int = 60, **more: Any) -> io.BytesIO:
    return io.BytesIO(parquet_bytes(table(people, each, **more)))
