"""Histograms of many features at once: the counts of each alone, to the last edge."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.contract.profile import FeatureProfile
from edge_sdk.telemetry.histograms import FEW, Bins, HistogramCounts, histogram

TRICKY = (
    *(0.0, -0.0, 0.1, 0.1 + 2**-40, -0.1, 1 / 3, 1e-46, 1e-40, 16_777_217.0, 3.4028234663852886e38),
    *(-3.4028234663852886e38, 1e39, -1e39, float("nan"), float("inf"), float("-inf")),
)
NUMBER = st.sampled_from(TRICKY) | st.floats(-5, 5) | st.floats(width=32)
EDGES = st.lists(
    st.sampled_from([x for x in TRICKY if np.isfinite(x)]) | st.floats(-5, 5),
    min_size=1, max_size=9, unique=True,
).map(sorted)  # fmt: skip


def feature(edges: Any) -> FeatureProfile:
    return FeatureProfile("x", (0,) * (max(1, len(edges) - 1) + 2), tuple(edges))


@given(edges=st.lists(EDGES, min_size=1, max_size=4), data=st.data())
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_together_they_count_what_each_counts_alone(dtype: str, edges: Any, data: Any) -> None:
    features = [feature(of_one) for of_one in edges]
    # Values on the edges as they are in that dtype, and their neighbours, are among the rows.
    with np.errstate(over="ignore"):
        near = np.array([e for of_one in edges for e in of_one]).astype(dtype)
    drawn = data.draw(st.lists(NUMBER, min_size=FEW + 1, max_size=30))
    with np.errstate(over="ignore"):
        values = np.array(drawn).astype(dtype)
        values = np.concatenate([values, near, np.nextafter(near, near.dtype.type(np.inf))])
    rows = np.stack([np.roll(values, i) for i in range(len(edges))], axis=1)
    counts = HistogramCounts.zeros(features)
    Bins(features).add(rows.T, counts)
    for of_one, column, found in zip(features, rows.T, counts.each, strict=True):
        np.testing.assert_array_equal(found, histogram(of_one, column))
        assert found.sum() == len(rows)


@pytest.mark.parametrize("count", [1, FEW, FEW + 1, 1_000])
def test_the_way_of_counting_depends_on_the_rows_and_the_counts_do_not(count: int) -> None:
    random = np.random.default_rng(count)
    features = [feature(np.sort(random.normal(size=n))) for n in (1, 2, 33)]
    rows = random.normal(size=(count, 3)).astype(np.float32)
    rows[0] = np.nan
    counts = HistogramCounts.zeros(features)
    bins = Bins(features)
    bins.add(rows.T, counts)
    bins.add(rows.T, counts)
    for of_one, column, found in zip(features, rows.T, counts.each, strict=True):
        np.testing.assert_array_equal(found, 2 * histogram(of_one, column))
