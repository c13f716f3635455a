"""Answers are compared whatever their shape, scored by their role, and told apart by group."""

from __future__ import annotations

import numpy as np
import pytest

from converters.certification.reference import Reference, compare_tensors
from converters.samples.groups import declare


def test_all_axes_but_the_first_count_as_columns():
    truth = np.random.default_rng(0).normal(size=(5, 2, 3)).astype(np.float32)
    moved = truth.copy()
    moved[3, 1, 2] += 1
    difference = compare_tensors({"y": moved}, {"y": truth})
    assert difference.worst == (3,)
    assert difference.maximum == pytest.approx(1 / truth[:, 1, 2].std(), rel=1e-4)


def test_outputs_of_different_lengths_are_compared_one_by_one():
    truth = {"a": np.ones((4, 1), np.float32), "b": np.arange(2, dtype=np.int64)}
    truth["c"] = np.array(1, np.float32)
    wrong = {**truth, "b": np.array([0, 9])}
    assert compare_tensors(truth, truth).label_flips == 0
    assert compare_tensors(wrong, truth).label_flips == 0.5


def test_a_score_is_taken_from_the_output_with_the_role_of_a_label():
    reference = Reference({"out": np.array([0, 1, 1, 1])}, np.array([0, 1, 1, 0]), {"out": "label"})
    assert reference.score == 0.75
    assert reference.score_of({"out": np.array([0, 1, 1, 0])}) == 1.0
    assert Reference({"out": np.zeros(4)}, None, {}).score is None


def test_each_group_has_its_own_score_and_difference():
    answers = {"label": np.array([0, 0, 1, 1])}
    reference = Reference(answers, np.array([0, 0, 1, 0]), {"label": "label"})
    _, groups = declare(np.ones((4, 1)), {"g": list("aabb")}, names=None, width=None)
    first, second = reference.group_results({"label": np.array([0, 1, 1, 1])}, groups)
    assert (first.group, first.original_score, first.score) == ("a", 1.0, 0.5)
    assert (first.label_flips, second.label_flips) == (0.5, 0.0)
    assert (second.column, second.rows, second.score) == ("g", 2, 0.5)
