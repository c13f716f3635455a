"""The comparison of answers: what counts as a flip, what as a difference."""

from __future__ import annotations

import numpy as np
import pytest

from converters.certification.parity import compare, refusal, score


def classified(labels, probabilities):
    return {"label": np.array(labels), "probabilities": np.array(probabilities, dtype=float)}


SURE = [[0.9, 0.1], [0.2, 0.8]]


def test_equal_answers_differ_in_nothing():
    same = classified([0, 1], SURE)
    difference = compare(same, same)
    assert (difference.label_flips, difference.maximum, difference.worst) == (0.0, 0.0, ())


def test_another_label_is_a_flip_and_its_row_the_worst():
    difference = compare(classified([0, 0], SURE), classified([0, 1], SURE))
    assert difference.label_flips == 0.5
    assert difference.worst == (1,)


def test_another_label_at_a_tie_is_no_flip():
    tie = [[0.5, 0.5], [0.2, 0.8]]
    assert compare(classified([0, 1], tie), classified([1, 1], tie)).label_flips == 0


def test_integers_and_their_text_are_the_same_label():
    assert compare(classified(["0", "1"], SURE), classified([0, 1], SURE)).label_flips == 0


NUMBERS = {
    "NaN on one side": ([np.nan, 1.0], [0.0, 1.0], np.inf),
    "NaN on both sides": ([np.nan, 1.0], [np.nan, 1.0], 0.0),
    "infinity on both sides": ([np.inf, 1.0], [np.inf, 1.0], 0.0),
    "infinity on one side": ([np.inf, 1.0], [1.0, 1.0], np.inf),
    "a tenth of the spread": ([0.0, 1.1], [0.0, 1.0], 0.1),
}


@pytest.mark.parametrize("case", NUMBERS)
def test_values_differ(case):
    values, expected, gap = NUMBERS[case]
    answers = {"value": np.array(values)[:, None]}
    truth = {"value": np.array(expected)[:, None]}
    assert compare(answers, truth, spreads={"value": np.ones(1)}).maximum == pytest.approx(gap)


def test_values_far_from_zero_may_round_as_float32_does():
    truth = np.array([[1e6], [1e6 + 1]])
    answers = truth.astype(np.float32) + np.float32(0.0625)
    assert compare({"value": answers}, {"value": truth}).maximum < 1e-4


def test_a_refusal_shows_both_answers_of_the_worst_row():
    answers, expected = classified([0, 0], SURE), classified([0, 1], SURE)
    text = refusal(compare(answers, expected), answers, expected, 1e-4)
    assert "row 1: label: original 1, exported 0" in text


SCORES = {
    "labels in a column": ({"label": np.array([0, 1])}, [[0], [0]], 0.5),
    "labels as floats": ({"label": np.array([0, 1])}, [0.0, 1.0], 1.0),
    "labels as booleans": ({"label": np.array([0, 1])}, [False, True], 1.0),
    "labels as text": ({"label": np.array(["a", "b"], object)}, ["a", "a"], 0.5),
    "values": ({"value": np.array([[1.0], [2.0]])}, [1.0, 2.0], 1.0),
    "values that never vary": ({"value": np.array([[1.0], [1.0]])}, [1.0, 1.0], None),
    "nothing to compare with": ({"label": np.array([0, 1])}, None, None),
}


@pytest.mark.parametrize("case", SCORES)
def test_the_score_of(case):
    answers, truth, expected = SCORES[case]
    assert score(answers, truth) == expected
