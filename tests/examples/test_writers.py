"""Writers are the same for the same seed; an unusual hand is one that a model misreads."""

from __future__ import annotations

import numpy as np

from examples.digits import training
from examples.digits.data import split
from examples.digits.writers import UNUSUAL, Writer, written

TRAIN, HOLDOUT, _ = split()


def test_whoever_writes_as_printed_writes_the_same_pictures() -> None:
    np.testing.assert_allclose(Writer().write(HOLDOUT.X), HOLDOUT.X, atol=1e-5)


def test_pictures_stay_within_what_a_sensor_gives() -> None:
    pictures = UNUSUAL.write(HOLDOUT.X)
    assert pictures.dtype == np.float32
    assert pictures.shape == HOLDOUT.X.shape
    assert pictures.min() >= 0
    assert pictures.max() <= 16


def test_a_slant_moves_the_top_of_a_digit_to_the_right_and_its_foot_to_the_left() -> None:
    stroke = np.zeros((8, 8), np.float32)
    stroke[1:7, 3:5] = 16
    rows = Writer(slant=0.5).write(stroke.reshape(1, 64)).reshape(8, 8)
    columns = [float((row * np.arange(8)).sum() / row.sum()) for row in rows[1:7]]
    assert columns[0] > 4
    assert columns[-1] < 3
    assert columns == sorted(columns, reverse=True)


def test_the_same_seed_has_the_same_writers_whatever_they_write() -> None:
    first, who = written(TRAIN, 3, 20, seed=1)
    again, _ = written(TRAIN, 3, 20, seed=1)
    other, _ = written(TRAIN, 3, 20, seed=2)
    np.testing.assert_array_equal(first.X, again.X)
    assert (first.X != other.X).any()
    assert who.tolist() == [0] * 20 + [1] * 20 + [2] * 20


def test_the_first_model_reads_hardly_any_digit_of_the_unusual_hand() -> None:
    model = training.first_model(TRAIN)
    assert model.score(HOLDOUT.X, HOLDOUT.y) > 0.9
    assert model.score(UNUSUAL.write(HOLDOUT.X), HOLDOUT.y) < 0.4
