"""Rows that somebody gives for a model: what could not be used later is refused at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cloud_hub.data.dataset import Dataset
from cloud_hub.errors import Invalid
from cloud_hub.hub import Hub

X = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
Y = np.arange(6) % 2
REFUSED: dict[str, tuple[str, Any, Any, str]] = {
    "no rows": ("train", X[:0], Y[:0], "expected at least one row"),
    "a holdout without labels": ("holdout", X, None, "expected labels"),
    "training rows without labels": ("train", X, None, "expected labels"),
    "two labels a row": ("train", X, np.stack([Y, Y], 1), r"expected one value a row, \[N\]"),
    "labels that are no numbers": ("train", X, np.where(Y, np.nan, 1.0), "row 1 has none"),
    "a holdout of other columns": ("holdout", X[:, :3], Y, "1.0 does not take it; expected rows"),
    "a holdout of texts": ("holdout", X.astype(str), Y, "1.0 does not take it"),
    "a catalogue of other columns": ("catalogue", X[:, :3], None, "1.0 does not take it"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_rows_that_nothing_could_be_done_with_are_refused(serving: Hub, case: str) -> None:
    kind, rows, labels, reason = REFUSED[case]
    with pytest.raises(Invalid, match=reason):
        serving.datasets.add("demo", kind, Dataset.of(rows, labels), actor="test")
    assert serving.datasets.rows("demo", kind) is None


ACCEPTED: dict[str, tuple[str, str, Any, Any]] = {
    "a holdout": ("demo", "holdout", X, Y),
    "a catalogue without labels": ("demo", "catalogue", X, None),
    "training rows with a new feature": ("demo", "train", np.column_stack([X, X[:, 0]]), Y),
    "labels that are texts": ("demo", "train", X, Y.astype(str)),
    "rows before the first version": ("later", "holdout", X[:, :2], Y),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_rows_that_fit_are_kept(serving: Hub, case: str) -> None:
    model, kind, rows, labels = ACCEPTED[case]
    added = serving.datasets.add(model, kind, Dataset.of(rows, labels), actor="test")
    assert (added.ref, added.rows) == (f"{kind}@1", 6)
    kept = serving.datasets.rows(model, kind)
    assert kept is not None
    np.testing.assert_array_equal(kept.X, rows)
