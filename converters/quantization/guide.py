"""Data that the making of a variant may use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge_sdk.model.release import Feed

Badness = Callable[[Any], float]
"""Measure of how far out of tolerance a model is on the check rows: at most 1 is within."""


def _never() -> bool:
    return False


@dataclass(frozen=True)
class Guide:
    """Data that the making of a variant may use.

    Attributes:
        feeds: some rows, one feed a row.
        badness: measure of how far out of tolerance a model is on the check rows.
        over: whether the time for the search is over.
    """

    feeds: list[Feed]
    badness: Badness
    over: Callable[[], bool] = _never
