"""Golden vectors: rows with the model's answers; a device re-runs them before it activates."""

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

RECORDED_TOLERANCE: Final = 1e-4
"""Difference that a device may show from this machine: kernels add in another order."""

Part = tuple[Rows, Feed, Feed]
"""Rows, the chosen variant's answers to them, and the original's."""


def golden_vectors(signature: Signature, parts: Sequence[Part], exact: float) -> Golden:
    """Return the original's answers to some of the rows of each part, spread over all of them.

    Rows on which the chosen variant flips a label, within its own tolerance, are no golden rows.

    Args:
        signature: of the chosen variant.
        parts: rows of each kind with both answers.
        exact: the smallest tolerance, relative to the largest value.

    Returns:
        The vectors; their tolerance is twice what the chosen variant is off on these rows, and at
        least ``exact``.
    """
    schema = InputSchema(signature, missing=True)
    inputs, outputs, limit = [], [], 0.0
    for rows, answers, expected in parts:
        chosen = _spread_out(answers, expected, len(rows))
        feed = schema.batch(rows.take(chosen).for_device())
        inputs.append({name: plain(array) for name, array in feed.items()})
        outputs.append(
            {
                spec.name: plain(expected[spec.name][chosen], spec.dtype)
                for spec in signature.outputs
                if spec.name in expected
            }
        )
        off = 2 * _largest_gap(answers, expected, chosen)
        limit = max(limit, off, exact * _scale(expected))
    return Golden(_concatenated(inputs), _concatenated(outputs), limit)


def recorded_vectors(feed: Feed, answers: Feed) -> Golden:
    """Return the answers of a file to some of its own samples, where nothing else could tell them.

    Args:
        feed: samples as input tensors.
        answers: of the chosen file to them, by output name.
    """
    inputs = {name: plain(array) for name, array in feed.items()}
    outputs = {name: plain(array) for name, array in answers.items()}
    return Golden(inputs, outputs, RECORDED_TOLERANCE)


def _spread_out(answers: Feed, expected: Feed, rows: int) -> NDArray[np.intp]:
    """Return indices of at most :data:`GOLDEN_ROWS` rows with the original's label."""
    agree = np.ones(rows, dtype=bool)
    for name, truth in expected.items():
        if truth.dtype.kind != "f":
            same = answers[name].astype(str) == truth.astype(str)
            agree &= same.reshape(rows, -1).all(axis=1)
    candidates = np.flatnonzero(agree)
    places = np.linspace(0, len(candidates) - 1, min(GOLDEN_ROWS, len(candidates)))
    chosen: NDArray[np.intp] = candidates[places.round().astype(int)]
    return chosen


def _concatenated(feeds: Sequence[Feed]) -> Feed:
    return {name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]}


def plain(array: NDArray[Any], dtype: str | None = None) -> NDArray[Any]:
    """Return an array that an ``.npz`` holds without pickling.

    Strings become text, numbers ``dtype`` if there is one.
    """
    if array.dtype == object:
        return array.astype(str)
    return array if dtype is None or dtype == "string" else array.astype(dtype)


def _largest_gap(answers: Feed, expected: Feed, chosen: NDArray[Any]) -> float:
    """Return the largest absolute difference of a number on the chosen rows."""
    gaps = [
        np.abs(answers[name][chosen].astype(np.float64) - truth[chosen].astype(np.float64))
        for name, truth in expected.items()
        if truth.dtype.kind == "f"
    ]
    return max((float(gap.max(initial=0.0)) for gap in gaps), default=0.0)


def _scale(expected: Feed) -> float:
    """Return what differences are relative to, at the largest value: see :func:`parity.compare`.

    A device compares absolutely, with one tolerance for all outputs.
    """
    sizes = [1.0] if "probabilities" in expected else []
    for name, spread in parity.spreads_of(expected).items():
        if name != "probabilities":
            largest = float(np.abs(expected[name]).max(initial=0.0)) * parity.RESOLUTION
            sizes.append(max(float(spread.max(initial=0.0)), largest))
    return max((size for size in sizes if np.isfinite(size)), default=1.0)
