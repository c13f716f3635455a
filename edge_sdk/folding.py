"""From values to histogram counts in the layout of the reference profile, vectorised.

The converters make the reference profile with the same functions, so a value falls into the same
bin at training and on every device.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.profile import MISSING, OUTSIDE, FeatureProfile


def histogram(feature: FeatureProfile, values: Sequence[Any] | NDArray[Any]) -> NDArray[np.int64]:
    """Counts [bins + 2] of ``values``: the bins, then missing, then outside."""
    if feature.categories is not None:
        return _categorical(feature, values)
    return _numeric(feature, np.asarray(values, dtype=np.float64))


def _numeric(feature: FeatureProfile, values: NDArray[np.float64]) -> NDArray[np.int64]:
    assert feature.edges is not None
    edges = np.asarray(feature.edges)
    bins = feature.bins
    place = np.searchsorted(edges, values, side="right") - 1
    place[values == edges[-1]] = bins - 1
    with np.errstate(invalid="ignore"):
        outside = (values < edges[0]) | (values > edges[-1])
    place[outside] = bins + 2 + OUTSIDE
    place[np.isnan(values)] = bins + 2 + MISSING
    return np.bincount(place, minlength=bins + 2)


def _categorical(
    feature: FeatureProfile, values: Sequence[Any] | NDArray[Any]
) -> NDArray[np.int64]:
    assert feature.categories is not None
    bins = feature.bins
    known = {category: i for i, category in enumerate(feature.categories)}
    counts = np.zeros(bins + 2, dtype=np.int64)
    plain = values.tolist() if isinstance(values, np.ndarray) else values
    for value, times in Counter(plain).items():  # few different values: one look-up for each
        place = MISSING if is_missing(value) else known.get(category(value), OUTSIDE)
        counts[place] += times
    return counts


def is_missing(value: Any) -> bool:
    """Whether a value counts as missing: ``None`` or NaN."""
    return value is None or value != value


def category(value: Any) -> str:
    """The name under which a value is counted: 3, 3.0 and True are "3", "3" and "1"."""
    if isinstance(value, str):
        return value
    number = value.item() if isinstance(value, np.generic) else value
    whole = isinstance(number, int) or (isinstance(number, float) and number.is_integer())
    return str(int(number)) if whole else str(number)
