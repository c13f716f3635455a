"""Shift of the output that a feature's move brings, from held-out rows, without any new row.

Held-out rows are weighted so that their histogram of that one feature is the window's; what the
model then answers on average, less what it answered before, is the feature's part in the change.
Parts add up to the whole only as far as features move independently and the model is additive in
them; ``explained`` says how much of the observed change they make up together.

Source: H. Shimodaira, "Improving predictive inference under covariate shift by weighting the
log-likelihood function", Journal of Statistical Planning and Inference 90(2), 2000 (the weights).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.histograms import MISSING, OUTSIDE
from edge_sdk.model.values import category, is_missing

if TYPE_CHECKING:
    from edge_sdk.contract.profile import FeatureProfile

LARGEST_WEIGHT: Final = 20.0
"""A held-out row stands for at most so many; a few rows must not decide."""


@dataclass(frozen=True)
class FeaturePart:
    """Part of one feature in the change of the mean output.

    ``supported`` is the share of the window that held-out rows can speak for (not outside, not
    missing where none was).
    """

    name: str
    moved: float
    supported: float


def feature_part(
    name: str,
    places: NDArray[np.int64],
    observed: Sequence[int],
    outputs: NDArray[np.float64],
) -> FeaturePart:
    """Part of one feature: the mean output of weighted held-out rows less the plain one.

    Args:
        name: of the feature.
        places: bin of each held-out row [rows], as indices into a histogram [bins + 2].
        observed: the window's histogram [bins + 2].
        outputs: output of the model for each held-out row [rows].
    """
    shares = np.asarray(observed, dtype=np.float64) / max(1, sum(observed))
    held = np.bincount(places, minlength=len(shares)) / max(1, len(places))
    weights = np.divide(shares, held, out=np.zeros_like(shares), where=held > 0)
    # A bin with few held-out rows and many in the window would let these rows decide alone.
    each = np.minimum(weights, LARGEST_WEIGHT)[places]
    if not each.sum():
        return FeaturePart(name, 0.0, 0.0)
    moved = float(each @ outputs / each.sum() - outputs.mean())
    return FeaturePart(name, moved, float(shares[held > 0].sum()))


def explained(parts: Sequence[FeaturePart], observed_change: float) -> float | None:
    """Share of the observed change of the output that the parts make up; ``None`` without a change.

    Args:
        parts: of all features that moved.
        observed_change: of the mean output.
    """
    if abs(observed_change) < 1e-9:
        return None
    return sum(part.moved for part in parts) / observed_change


def mean_of_bins(counts: Sequence[int], edges: Sequence[float]) -> float | None:
    """Mean of a binned number, by the middles of its bins; ``None`` without any inside.

    Args:
        counts: histogram [bins + 2].
        edges: of the bins, [bins + 1].
    """
    inside = np.asarray(counts[:-2], dtype=np.float64)
    if not inside.sum():
        return None
    low, high = np.asarray(edges[: len(inside)]), np.asarray(edges[-len(inside) :])
    return float(inside @ ((low + high) / 2) / inside.sum())


def share_changes(
    reference: Sequence[int], observed: Sequence[int], names: Sequence[str]
) -> Mapping[str, float]:
    """Change of each category's share, missing and outside included.

    Args:
        reference: histogram [categories + 2] at training.
        observed: histogram [categories + 2] of a window.
        names: of the categories, in order.
    """
    a, b = np.asarray(reference, np.float64), np.asarray(observed, np.float64)
    change = b / max(1.0, b.sum()) - a / max(1.0, a.sum())
    return dict(zip((*names, "missing", "outside"), change.tolist(), strict=True))


def places(feature: FeatureProfile, values: NDArray[Any]) -> NDArray[np.int64]:
    """Bin of each value [rows], as an index into the feature's histogram [bins + 2].

    Args:
        feature: with its edges or its categories.
        values: [rows].
    """
    size = feature.bins + 2
    if feature.categories is not None:
        index = {name: i for i, name in enumerate(feature.categories)}
        indices = [
            MISSING if is_missing(value) else index.get(category(value), OUTSIDE)
            for value in values.tolist()
        ]
        return np.array(indices, np.int64) % size
    assert feature.edges is not None
    edges, numbers = np.asarray(feature.edges), values.astype(np.float64)
    bin_of = np.searchsorted(edges, numbers, side="right") - 1
    bin_of[numbers == edges[-1]] = feature.bins - 1
    outside = (numbers < edges[0]) | (numbers > edges[-1])
    bin_of = np.where(outside, size + OUTSIDE, bin_of)
    placed: NDArray[np.int64] = np.where(np.isnan(numbers), size + MISSING, bin_of)
    return placed
