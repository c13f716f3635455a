"""Labels of rows as the numbers of a model's classes, however a file writes them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cloud_hub.data.dataset import Dataset
from cloud_hub.errors import Invalid
from cloud_hub.personalise.answering import AT_ONCE, answered, basis_for, truth_of
from edge_sdk.contract.manifest import Label, Manifest, OutputSpec
from tests.edge.builders import make_release, rows, softmax


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return make_release(tmp_path).manifest


def of_classes(manifest: Manifest, *classes: Label) -> Manifest:
    return replace(manifest, signature=replace(manifest.signature, classes=classes))


WRITTEN: dict[str, tuple[tuple[Label, ...], Any]] = {
    "whole numbers": ((0, 1, 2), [0, 2, 1]),
    "numbers with missing ones, which make them floats": ((0, 1, 2), [0.0, 2.0, 1.0]),
    "texts": (("a", "b", "c"), ["a", "c", "b"]),
    "texts of digits that CSV reads as numbers": (("0", "1", "2"), [0, 2, 1]),
}


@pytest.mark.parametrize("how", WRITTEN)
def test_a_label_is_known_however_it_is_written(manifest: Manifest, how: str) -> None:
    classes, labels = WRITTEN[how]
    assert truth_of(np.array(labels), of_classes(manifest, *classes)).tolist() == [0, 2, 1]


def test_a_label_that_is_no_class_or_missing_is_none(manifest: Manifest) -> None:
    labels = np.array([0, 7, 1, np.nan])
    assert truth_of(labels, manifest).tolist() == [0, -1, 1, -1]


def test_labels_of_which_none_is_a_class_are_refused_with_an_example(manifest: Manifest) -> None:
    with pytest.raises(Invalid, match=r"such as 0, got labels such as 'cat'; .* --label"):
        truth_of(np.array(["cat", "dog"]), manifest)


def test_a_regressors_labels_are_numbers(manifest: Manifest) -> None:
    value = (OutputSpec("value", "float32", (None, 1), "value"),)
    regressor = replace(manifest, signature=replace(manifest.signature, outputs=value, classes=()))
    assert truth_of(np.array([1, 2]), regressor).tolist() == [1.0, 2.0]
    with pytest.raises(Invalid, match="expected numbers, as the model gives, got 'low'"):
        truth_of(np.array(["low"]), regressor)


def test_a_model_that_gives_neither_is_refused_in_words(manifest: Manifest) -> None:
    other = (OutputSpec("scores", "float32", (None, 3), "scores"),)
    many = replace(manifest, signature=replace(manifest.signature, outputs=other))
    with pytest.raises(Invalid, match="demo 1.0: cannot be personalised"):
        basis_for(many)


def test_more_rows_than_a_model_is_given_at_once_are_answered_in_their_order(
    tmp_path: Path,
) -> None:
    release = make_release(tmp_path)
    x = rows(AT_ONCE + 3)
    made = answered(release, Dataset.of(x, np.zeros(len(x), np.int64)), "features")
    assert (made.phi == x).all()
    np.testing.assert_allclose(made.scores, softmax(x, 0), rtol=1e-4, atol=1e-6)
    assert (made.truth == 0).all()
