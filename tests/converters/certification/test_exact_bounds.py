"""Exact bounds: what rows show, how many are needed, and that they keep their confidence."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from converters import convert
from converters.certification.exact_bounds import lower_bound, rows_needed, upper_bound
from converters.certification.report import certificate_table
from converters.certification.row_counts import RowCounts
from tests.converters import builders


@pytest.mark.parametrize(
    ("flips", "limit", "needed"),
    [(0, 0.001, 2_995), (0, 0.01, 299), (0, 0.02, 149), (0, 0.0, None), (3, 0.01, None)],
)
def test_rows_that_would_show_a_limit(flips, limit, needed):
    assert rows_needed(flips, 300, limit, 0.05) == needed


@given(st.integers(0, 20), st.integers(100, 3_000), st.floats(0.005, 0.3), st.floats(0.001, 0.1))
def test_the_rows_that_are_needed_are_enough_and_few_more_than_enough(flips, rows, limit, alpha):
    needed = rows_needed(flips, rows, limit, alpha)
    if needed is None:
        assert flips / rows >= limit or limit - flips / rows < 1e-3
    elif flips == 0:
        assert upper_bound(0, needed, alpha) <= limit < upper_bound(0, needed - 1, alpha)
    elif needed > rows:
        scaled = -(-flips * needed // rows)
        assert upper_bound(scaled, needed, alpha) <= limit + 1e-9


@pytest.mark.parametrize("share", [0.0, 0.002, 0.03, 0.2])
@pytest.mark.parametrize("rows", [30, 300, 3_000])
def test_bounds_are_wrong_as_rarely_as_promised(share, rows):
    """Computed, not simulated: the chance of the counts whose bound misses the true share."""
    counts = np.arange(rows + 1)
    chances = binom.pmf(counts, rows, share)
    too_low = [upper_bound(int(k), rows, 0.05) < share for k in counts]
    too_high = [lower_bound(int(k), rows, 0.05) > share for k in counts]
    assert chances[too_low].sum() <= 0.05 + 1e-9
    assert chances[too_high].sum() <= 0.05 + 1e-9


def test_answers_that_are_no_labels_have_no_bounds():
    counts = RowCounts(0, 0)
    assert (counts.flips_bound(0.05), counts.score_bound(0.05), counts.drop_bound(0.05)) == (
        None, None, None,
    )  # fmt: skip


def test_a_small_set_of_rows_takes_float32_and_says_how_many_rows_a_smaller_file_needs(tmp_path):
    X, y = builders.data_of("scaler and MLP")
    few = slice(0, 150)
    model = builders.model("scaler and MLP")
    release = convert(model, X[few], y[few], name="m", out=tmp_path / "r")
    certificate = release.certificate()
    assert (release.manifest.variant, certificate.confidence) == ("float32", 0.95)
    results = {v.name: v for v in certificate.variants}
    plain, smaller = results["float32"], results["int8-storage"]
    assert plain.flips_bound == pytest.approx(upper_bound(0, 150, 0.05 / 5))  # of five variants
    assert not smaller.accepted
    assert "459 rows would show it" in smaller.reason
    assert release.manifest.metrics["flips_bound"] == plain.flips_bound
    assert release.manifest.metrics["score_bound"] == plain.score_bound
    shown = certificate_table(release)
    assert "0.00% (≤ 3.02%)" in shown
    assert "exact bounds at 95% confidence" in shown
    assert plain.score_bound is not None
    assert plain.score is not None
    assert plain.score_bound < plain.score
