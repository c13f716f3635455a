"""Parity of an exported file with the original: labels, numbers and score, each apart."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from converters.errors import ConversionError
from edge_sdk.model.release import Feed

SHOWN: Final = 5
"""Rows that a refusal shows."""

RESOLUTION: Final = 0.01
"""Share of a value that counts as spread: with ``exact`` at 1e-4 that is ten float32 roundings."""

SHARES: Final = ("probabilities", "scores")
"""Outputs of numbers from 0 to 1, which are compared as they are."""

TIE: Final = 1e-5
"""A label may flip where the two largest probabilities of the original are this close."""


@dataclass(frozen=True)
class Tolerances:
    """Largest allowed differences of a variant from the original, on the check rows.

    Attributes:
        exact: for float32: difference of a probability, or of a value relative to the spread of
            values (see :func:`compare`).
        flips: for smaller variants: share of all labels that may differ. The rows must show that no
            more do: it is the upper bound of the share that counts, not the share itself.
        probability: for smaller variants: difference of a probability or relative value.
        score_drop: for smaller variants: loss of R², as measured.
        accuracy_drop: for smaller variants: loss of accuracy, which the rows must show likewise.
    """

    exact: float = 1e-4
    flips: float = 0.01
    probability: float = 0.1
    score_drop: float = 0.002
    accuracy_drop: float = 0.01

    def __post_init__(self) -> None:
        for field in fields(self):
            limit = getattr(self, field.name)
            is_number = isinstance(limit, int | float) and not isinstance(limit, bool)
            if not is_number or not 0 <= limit < math.inf:
                raise ConversionError(
                    f"tolerances: {field.name}: expected a number from 0, got {limit!r:.60}"
                )


@dataclass(frozen=True)
class Difference:
    """Distance of answers from the original's.

    Attributes:
        label_flips: share of rows whose label differs.
        maximum: largest difference of a number.
        mean: mean over rows of the largest difference in each.
        worst: indices of the worst rows.
        labelled: rows whose labels were compared; 0 where answers are no labels.
    """

    label_flips: float
    maximum: float
    mean: float
    worst: tuple[int, ...]
    labelled: int = 0

    @property
    def flips(self) -> int:
        """Number of rows whose label differs."""
        return round(self.label_flips * self.labelled)


Spreads = Mapping[str, NDArray[np.float64]]
"""Scale of the differences of each output of numbers, by column."""


def spreads_of(expected: Feed) -> Spreads:
    """Return the standard deviation of each column of each output of numbers; 1 for probabilities.

    A column that hardly varies counts as varying by a hundredth of what all columns do.
    """
    return {name: _spread(name, array) for name, array in expected.items() if _is_number(array)}


def _spread(name: str, array: NDArray[Any]) -> NDArray[np.float64]:
    if name in SHARES:
        return np.ones(array.shape[1])
    # Infinite values (a log of zero) are answers too, but have no part in a deviation.
    with np.errstate(over="ignore"):
        values = np.ma.masked_invalid(array.astype(np.float64))
        whole = float(np.ma.filled(values.std(), 0.0))
    spread: NDArray[np.float64] = np.maximum(values.std(axis=0).filled(0.0), RESOLUTION * whole)
    return spread


def _is_number(array: NDArray[Any]) -> bool:
    return array.dtype.kind == "f"


def compare(answers: Feed, expected: Feed, spreads: Spreads | None = None) -> Difference:
    """Compare outputs row by row: labels for equality, numbers by how far they are apart.

    Args:
        answers: of the exported file by output name: labels [N], numbers [N, columns].
        expected: the original's; the same names and shapes.
        spreads: scale of the differences of values; default: the spreads of ``expected``. A
            hundredth of the value itself counts where that is more: float32 has no finer steps.
    """
    spreads = spreads_of(expected) if spreads is None else spreads
    flips = _flips(answers, expected, spreads)
    gap = gaps(answers, expected, spreads)
    # Flips come first among the worst rows, whatever the numbers say.
    badness = np.where(flips, gap + 1.0 + gap.max(initial=0.0), gap)
    worst = np.argsort(-badness, kind="stable")[:SHOWN]
    return Difference(
        float(flips.mean()) if len(flips) else 0.0,
        float(gap.max(initial=0.0)),
        float(gap.mean()) if len(gap) else 0.0,
        tuple(int(i) for i in worst if badness[i] > 0),
        0 if all(_is_number(truth) for truth in expected.values()) else len(flips),
    )


def _flips(answers: Feed, expected: Feed, spreads: Spreads) -> NDArray[np.bool_]:
    """Return rows of which a label differs, where the original was not in doubt itself."""
    flips = np.zeros(len(next(iter(expected.values()))), dtype=bool)
    for name, truth in expected.items():
        if not _is_number(truth):
            differs = answers[name].astype(str) != truth.astype(str)
            if name == "labels" and "scores" in expected:
                # A label flips only where its score moved: else the threshold lay in between.
                differs &= np.abs(answers["scores"] - expected["scores"]) > TIE
            flips |= differs.reshape(len(flips), -1).any(axis=1)
    return flips & ~_doubtful(expected, spreads)


def _doubtful(expected: Feed, spreads: Spreads) -> NDArray[np.bool_]:
    """Return rows whose two largest probabilities, or value and zero, are as good as equal."""
    scores, value = expected.get("probabilities"), expected.get("value")
    if "label" in expected and scores is not None and scores.shape[1] > 1:
        top = np.sort(scores, axis=1)
        return np.asarray(top[:, -1] - top[:, -2] <= TIE)
    if "label" in expected and value is not None:
        return np.asarray(np.abs(value[:, 0]) <= TIE * spreads["value"][0])
    return np.zeros(len(next(iter(expected.values()))), dtype=bool)


def gaps(answers: Feed, expected: Feed, spreads: Spreads) -> NDArray[np.float64]:
    """Return the largest difference of a number in each row.

    Args:
        answers: of the exported file, as in :func:`compare`.
        expected: the original's.
        spreads: scale of the differences of values.

    Returns:
        Differences [N], infinite where one side alone is not finite.
    """
    largest = np.zeros(len(next(iter(expected.values()))))
    for name, array in expected.items():
        if not _is_number(array):
            continue
        truth = array.astype(np.float64)
        numbers = answers[name].astype(np.float64).reshape(truth.shape)
        with np.errstate(invalid="ignore"):
            difference = np.abs(numbers - truth)
            if name not in SHARES:
                size = np.maximum(spreads[name], np.abs(truth) * RESOLUTION)
                difference /= np.maximum(size, 1e-12)
        # inf - inf and NaN - NaN are NaN: equal if both sides are the same, else endless.
        difference[np.isnan(difference)] = np.inf
        difference[(numbers == truth) | (np.isnan(numbers) & np.isnan(truth))] = 0.0
        largest = np.maximum(largest, difference.max(axis=1, initial=0.0))
    return largest


def score(answers: Feed, y: Any) -> float | None:
    """Return the accuracy of labels, or R² of values.

    Of several labels a row (``labels``, a table [N, classes]) all must be right. ``None`` without
    ``y`` [N], or where the answers have neither labels nor values.
    """
    if y is None or not {"label", "labels", "value"} & set(answers):
        return None
    if "labels" in answers:
        return float(right(answers["labels"], y).mean())
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
    """Return where ``labels`` [N] are those of ``truth`` [N]; 1, 1.0 and True are one label.

    Of tables [N, classes] of several labels a row, where all are.
    """
    if labels.ndim == 2:
        return np.asarray((labels == truth).all(axis=1))
    same: NDArray[np.bool_] = labels.astype(str) == _labels(np.asarray(truth)).reshape(labels.shape)
    return same


def _labels(truth: NDArray[Any]) -> NDArray[Any]:
    whole = (
        truth.dtype.kind in "fb"
        and np.isfinite(truth).all()
        and (truth == truth.astype(np.int64)).all()
    )
    return (truth.astype(np.int64) if whole else truth).astype(str)


def refusal(difference: Difference, answers: Feed, expected: Feed, limit: float) -> str:
    """Return the reason why float32 is out of tolerance, with its worst rows.

    Args:
        difference: as :func:`compare` gives it.
        answers: of the exported file.
        expected: the original's.
        limit: the largest difference that is allowed.
    """
    lines = [
        f"the exported model differs from the original: {difference.label_flips:.2%} label flips, "
        f"largest difference {difference.maximum:.3g} (allowed {limit:.3g}); worst rows:"
    ]
    for i in difference.worst:
        shown = {name: (_plain(expected[name][i]), _plain(answers[name][i])) for name in expected}
        pairs = "; ".join(f"{n}: original {a}, exported {b}" for n, (a, b) in shown.items())
        lines.append(f"  row {i}: {pairs}"[:300])
    return "\n".join(lines)


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value
