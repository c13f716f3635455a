"""Golden vectors: rows with the original's answers; a device re-runs them before it activates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from converters.certification import parity
from converters.samples.rows import Rows
from edge_sdk.contract.manifest import Signature
from edge_sdk.model.release import Feed, Golden
from edge_sdk.model.schema import InputSchema

GOLDEN_ROWS: Final = 32


Part = tuple[Rows, Feed, Feed]
"""Rows, what the chosen variant answers to them, and what the original answers."""


def golden_vectors(signature: Signature, parts: Sequence[Part], exact: float) -> Golden:
    """The original's answers to some of the rows of each part, spread over all of them.

    The tolerance is twice what the chosen variant is off on these rows, and at least ``exact``.
    Rows on which it flips a label, within its own tolerance, are no golden rows.
    """
    schema = InputSchema(signature, missing=True)
    inputs, outputs, limit = [], [], 0.0
    for rows, found, expected in parts:
        chosen = _spread_out(found, expected, len(rows))
        feed = schema.batch(rows.take(chosen).for_device())
        inputs.append({name: plain(array) for name, array in feed.items()})
        outputs.append(
            {
                spec.name: plain(expected[spec.name][chosen], spec.dtype)
                for spec in signature.outputs
                if spec.name in expected
            }
        )
        off = 2 * _largest(found, expected, chosen)
        limit = max(limit, off, exact * _size(expected))
    return Golden(_joined(inputs), _joined(outputs), limit)


def _spread_out(found: Feed, expected: Feed, rows: int) -> NDArray[np.intp]:
    """Indices of at most :data:`GOLDEN_ROWS` rows with the original's label."""
    agree = np.ones(rows, dtype=bool)
    for name, truth in expected.items():
        if truth.dtype.kind != "f":
            same = found[name].astype(str) == truth.astype(str)
            agree &= same.reshape(rows, -1).all(axis=1)
    candidates = np.flatnonzero(agree)
    places = np.linspace(0, len(candidates) - 1, min(GOLDEN_ROWS, len(candidates)))
    chosen: NDArray[np.intp] = candidates[places.round().astype(int)]
    return chosen


def _joined(feeds: Sequence[Feed]) -> Feed:
    return {name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]}


def plain(array: NDArray[Any], dtype: str | None = None) -> NDArray[Any]:
    """An array that an ``.npz`` holds without pickling: strings as text, numbers as ``dtype``."""
    if array.dtype == object:
        return array.astype(str)
    return array if dtype is None or dtype == "string" else array.astype(dtype)


def _largest(found: Feed, expected: Feed, chosen: NDArray[Any]) -> float:
    """The largest absolute difference of a number on the chosen rows."""
    gaps = [
        np.abs(found[name][chosen].astype(np.float64) - truth[chosen].astype(np.float64))
        for name, truth in expected.items()
        if truth.dtype.kind == "f"
    ]
    return max((float(gap.max(initial=0.0)) for gap in gaps), default=0.0)


def _size(expected: Feed) -> float:
    """What differences are relative to, at the largest value: see :func:`parity.compare`."""
    sizes = [1.0] if "probabilities" in expected else []
    for name, spread in parity.spreads_of(expected).items():
        if name != "probabilities":
            largest = float(np.abs(expected[name]).max(initial=0.0)) * parity.RESOLUTION
            sizes.append(max(float(spread.max(initial=0.0)), largest))
    return max((size for size in sizes if np.isfinite(size)), default=1.0)
