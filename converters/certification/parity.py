"""Does the exported file answer as the original does? Labels, probabilities and score apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_sdk.model.release import Feed

SHOWN: Final = 5
"""Rows that a refusal shows."""

RESOLUTION: Final = 0.01
"""Share of a value that counts as spread: with ``exact`` at 1e-4 that is ten float32 roundings."""

TIE: Final = 1e-5
"""A label may flip where the two largest probabilities of the original are this close."""


@dataclass(frozen=True)
class Tolerances:
    """What a variant may differ by from the original, on the check rows.

    ``exact`` holds for float32: the largest difference of a probability, or of a value relative to
    the spread of values (see :func:`compare`). The others hold for smaller variants: share of
    label flips, largest difference of a probability, and loss of accuracy (or R²).
    """

    exact: float = 1e-4
    flips: float = 0.001
    probability: float = 0.1
    score_drop: float = 0.002


@dataclass(frozen=True)
class Difference:
    """How far answers are from the original's. ``worst`` are the indices of the worst rows."""

    label_flips: float
    maximum: float
    mean: float
    worst: tuple[int, ...]


Spreads = Mapping[str, NDArray[np.float64]]
"""For each output of numbers what its differences are relative to, by column."""


def spreads_of(expected: Feed) -> Spreads:
    """Standard deviation of each column of each output of numbers; 1 for probabilities.

    A column that hardly varies counts as varying by a hundredth of what all columns do.
    """
    return {name: _spread(name, array) for name, array in expected.items() if _is_number(array)}


def _spread(name: str, array: NDArray[Any]) -> NDArray[np.float64]:
    if name == "probabilities":
        return np.ones(array.shape[1])
    with np.errstate(over="ignore"):
        values = np.ma.masked_invalid(array.astype(np.float64))
        whole = float(np.ma.filled(values.std(), 0.0))
    spread: NDArray[np.float64] = np.maximum(values.std(axis=0).filled(0.0), RESOLUTION * whole)
    return spread


def _is_number(array: NDArray[Any]) -> bool:
    return array.dtype.kind == "f"


def compare(found: Feed, expected: Feed, spreads: Spreads | None = None) -> Difference:
    """Compare outputs row by row: labels for equality, numbers by how far they are apart.

    Differences of values are relative to ``spreads`` (default: those of ``expected``), or to a
    hundredth of the value itself where that is more: float32 has no finer steps to offer.
    """
    spreads = spreads_of(expected) if spreads is None else spreads
    flips = _flips(found, expected, spreads)
    gap = gaps(found, expected, spreads)
    badness = np.where(flips, gap + 1.0 + gap.max(initial=0.0), gap)
    worst = np.argsort(-badness, kind="stable")[:SHOWN]
    return Difference(
        float(flips.mean()) if len(flips) else 0.0,
        float(gap.max(initial=0.0)),
        float(gap.mean()) if len(gap) else 0.0,
        tuple(int(i) for i in worst if badness[i] > 0),
    )


def _flips(found: Feed, expected: Feed, spreads: Spreads) -> NDArray[np.bool_]:
    """Rows of which a label differs, where the original was not in doubt itself."""
    flips = np.zeros(len(next(iter(expected.values()))), dtype=bool)
    for name, truth in expected.items():
        if not _is_number(truth):
            differs = found[name].astype(str) != truth.astype(str)
            flips |= differs.reshape(len(flips), -1).any(axis=1)
    return flips & ~_doubtful(expected, spreads)


def _doubtful(expected: Feed, spreads: Spreads) -> NDArray[np.bool_]:
    """Rows whose two largest probabilities, or whose value and zero, are as good as equal."""
    scores, value = expected.get("probabilities"), expected.get("value")
    if "label" in expected and scores is not None and scores.shape[1] > 1:
        top = np.sort(scores, axis=1)
        return np.asarray(top[:, -1] - top[:, -2] <= TIE)
    if "label" in expected and value is not None:
        return np.asarray(np.abs(value[:, 0]) <= TIE * spreads["value"][0])
    return np.zeros(len(next(iter(expected.values()))), dtype=bool)


def gaps(found: Feed, expected: Feed, spreads: Spreads) -> NDArray[np.float64]:
    """The largest difference in each row, [N]; infinite where one side alone is not finite."""
    largest = np.zeros(len(next(iter(expected.values()))))
    for name, array in expected.items():
        if not _is_number(array):
            continue
        truth = array.astype(np.float64)
        came = found[name].astype(np.float64).reshape(truth.shape)
        with np.errstate(invalid="ignore"):
            difference = np.abs(came - truth)
            if name != "probabilities":
                size = np.maximum(spreads[name], np.abs(truth) * RESOLUTION)
                difference /= np.maximum(size, 1e-12)
        difference[np.isnan(difference)] = np.inf
        difference[(came == truth) | (np.isnan(came) & np.isnan(truth))] = 0.0
        largest = np.maximum(largest, difference.max(axis=1, initial=0.0))
    return largest


def score(answers: Feed, y: Any) -> float | None:
    """Accuracy of labels, or R² of values; ``None`` without ``y``, or where there is neither."""
    if y is None or not {"label", "value"} & set(answers):
        return None
    truth = np.asarray(y)
    if truth.ndim == 2 and truth.shape[1] == 1:
        truth = truth[:, 0]
    if "label" in answers:
        return float(right(answers["label"], truth).mean())
    values = answers["value"].astype(np.float64).reshape(len(truth), -1)
    target = truth.astype(np.float64).reshape(len(truth), -1)
    spread = ((target - target.mean(axis=0)) ** 2).sum()
    return float(1 - ((target - values) ** 2).sum() / spread) if spread > 0 else None


def right(labels: NDArray[Any], truth: Any) -> NDArray[np.bool_]:
    """Which of ``labels`` [N] are those of ``truth`` [N]."""
    same: NDArray[np.bool_] = labels.astype(str) == _labels(np.asarray(truth)).reshape(labels.shape)
    return same


def _labels(truth: NDArray[Any]) -> NDArray[Any]:
    whole = (
        truth.dtype.kind in "fb"
        and np.isfinite(truth).all()
        and (truth == truth.astype(np.int64)).all()
    )
    return (truth.astype(np.int64) if whole else truth).astype(str)


def refusal(difference: Difference, found: Feed, expected: Feed, limit: float) -> str:
    """Why float32 is out of tolerance, with its worst rows."""
    lines = [
        f"the exported model differs from the original: {difference.label_flips:.2%} label flips, "
        f"largest difference {difference.maximum:.3g} (allowed {limit:.3g}); worst rows:"
    ]
    for i in difference.worst:
        shown = {name: (_plain(expected[name][i]), _plain(found[name][i])) for name in expected}
        pairs = "; ".join(f"{n}: original {a}, exported {b}" for n, (a, b) in shown.items())
        lines.append(f"  row {i}: {pairs}"[:300])
    return "\n".join(lines)


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value
