"""Packs of answers by entity that tests write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from edge_sdk.contract.pack import EntityPackInfo
from edge_sdk.packs.entity_predictions import EntityValues, entity_keys, write_entity_predictions

AT: Final = 1_000_000.0
ABOUT: Final = EntityPackInfo("users", 7, AT, classes=(0, 1, 2))


def written(
    path: Path,
    entities: Sequence[str] = ("user-1", "user-2", "Ærø"),
    values: dict[str, EntityValues] | None = None,
    *,
    model: str = "demo",
    expires: int | None = None,
    **about: Any,
) -> Path:
    """Write a pack; by default of three classes, the first entity surest of class 1."""
    if values is None:
        shares = np.array([[0.1, 0.7, 0.2]] + [[0.5, 0.3, 0.2]] * (len(entities) - 1), np.float32)
        values = {"probabilities": EntityValues("probabilities", shares)}
    write_entity_predictions(
        path, replace(ABOUT, **about), entity_keys(entities), values, model=model, version="3.0",
        manifest="a" * 64, answered_by="large 3.0", expires=expires,
    )  # fmt: skip
    return path
