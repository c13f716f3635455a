"""Sums over units: no unit weighs more than the bounds say, whatever it was taught."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.contract.personal.report import BLOCKS, UNIT_LABELS, VECTORS, noise_of
from edge_sdk.personalise.sums.noise import GRID
from edge_sdk.personalise.sums.unit_sums import SINGLE, UnitSums

RANK = 3
SCALE = (0.5, 1.0, 2.0)


@dataclass(frozen=True)
class Unit:
    classes: int = 3
    both: float = 30.0
    model_only: float = 2.0
    personal_only: float = 6.0
    neither: float = 2.0
    served: float = 20.0
    off: bool = True
    model_loss: float = 20.0
    personal_loss: float = 10.0
    shift: Any = (0.5, -1.0, 2.0)
    squares: Any = (0.25, 1.0, 4.0)
    cross: Any = (0.125, 0.5, 2.0)


def summed(*units: Unit) -> dict[str, Any]:
    sums = UnitSums(SCALE)
    for unit in units:
        sums.add(unit)
    return sums.numbers()


def test_a_unit_counts_by_shares_and_in_the_priors_own_scale() -> None:
    found = summed(Unit())
    for name, row in {"shift": (1, -1, 1), "squares": (1, 1, 1), "cross": (0.5,) * 3}.items():
        assert found.pop(name) == pytest.approx(row)
    assert found == pytest.approx({
        "units": 1.0, "crossed": 1.0, "labels": 40.0, "served": 0.5, "off": 1.0, "both": 0.75,
        "model_only": 0.05, "personal_only": 0.15, "neither": 0.05, "gain_squares": 0.01,
        "better": 1.0, "worse": 0.0, "model_loss": 0.5, "personal_loss": 0.25,
    })  # fmt: skip


def test_units_add_up() -> None:
    one, two = Unit(), Unit(personal_only=0.0, both=36.0, classes=1)
    both = summed(one, two)
    assert both["units"] == 2.0
    assert both["worse"] == 1.0
    assert both["crossed"] == 1.0
    assert both["shift"] == pytest.approx((2.0, -2.0, 2.0))


@pytest.mark.parametrize(
    "unit",
    [
        Unit(both=0.0, personal_only=6.0, neither=UNIT_LABELS - 9.0),
        Unit(both=-1.0),
        Unit(both=math.nan),
        Unit(both=math.inf),
        Unit(shift=(math.nan, 0.0, 0.0)),
        Unit(cross=(math.inf, 0.0, 0.0)),
        Unit(model_loss=math.nan),
    ],
    ids=["few labels", "below 0", "NaN", "infinite", "shift NaN", "cross infinite", "loss NaN"],
)
def test_a_unit_that_says_nothing_is_left_out(unit: Unit) -> None:
    assert summed(unit, Unit()) == summed(Unit())


numbers = st.floats(-1e300, 1e300)
vectors = st.tuples(*[numbers] * RANK)


@given(
    st.builds(
        Unit,
        classes=st.integers(0, 9),
        both=st.floats(UNIT_LABELS, 1e300),
        personal_only=st.floats(0, 1e300),
        served=numbers,
        model_loss=numbers,
        personal_loss=numbers,
        shift=vectors,
        squares=vectors,
        cross=vectors,
    )
)
def test_no_unit_is_longer_than_one_by_the_shares_of_the_noise(unit: Unit) -> None:
    """The noise has deviation σ on a vector of length 1: so long is a unit at most."""
    sums = summed(unit)
    squared = 0.0
    for block in BLOCKS:
        length = math.hypot(*(sums[name] for name in block.fields))
        assert length <= block.length * (1 + 1e-9)
        squared += (length / noise_of(block, 1.0)) ** 2
    for block in VECTORS:
        squared += (np.linalg.norm(sums[block.fields[0]]) / noise_of(block, 1.0, RANK)) ** 2
    assert squared <= 1 + 1e-9


def test_with_noise_of_nothing_a_unit_moves_each_number_by_less_than_the_grid_more() -> None:
    sums = UnitSums(SCALE, 2.0)
    sums.add(Unit())
    quiet = sums.numbers(lambda mean, deviation: 0.0)
    exact = summed(Unit())
    for block in BLOCKS:
        step = noise_of(block, 2.0) * GRID
        for name in block.fields:
            assert exact[name] - step <= quiet[name] <= exact[name]


def test_noise_reaches_every_number_that_leaves_the_device() -> None:
    sums = UnitSums(SCALE, 2.0)
    noisy = sums.numbers()
    values = [noisy[name] for name in SINGLE]
    values += [x for block in VECTORS for x in noisy[block.fields[0]]]
    assert sum(value == 0.0 for value in values) <= 1


def test_a_unit_with_enormous_numbers_leaves_the_others_theirs() -> None:
    wild = replace(Unit(), shift=(1e300, -1e300, 1e300))
    most = VECTORS[0].length * math.sqrt(RANK)
    moved = np.subtract(summed(Unit(), wild)["shift"], summed(Unit())["shift"])
    assert np.linalg.norm(moved) <= most * (1 + 1e-9)
