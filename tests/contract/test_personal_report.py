"""Sums over units: what no units have is refused, and what any units have is taken."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.contract.codec import decode, encode, to_plain
from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.limits import MESSAGE_BYTES
from edge_sdk.contract.messages import Message, kind_of
from edge_sdk.contract.personal.report import BLOCKS, DELTA, VECTORS, PersonalReport, scales
from tests.contract.examples import PERSONAL_REPORT, PERSONAL_REPORT_WITH_NOISE

NUMBERS = [f.name for f in fields(PersonalReport) if f.type == "float"]


def opened(**changes: Any) -> Any:
    """What a hub reads of a report that a device sent without checking it."""
    body = {**to_plain(PERSONAL_REPORT), **changes}
    return Message("boot", 1, "personal", body).open()


def test_the_shares_of_all_blocks_make_a_unit_of_length_one() -> None:
    assert sum(block.share for block in (*BLOCKS, *VECTORS)) == pytest.approx(1.0)
    named = [name for block in (*BLOCKS, *VECTORS) for name in block.fields]
    assert sorted(named) == sorted([*NUMBERS, "shift", "squares", "cross"])


def test_a_report_travels_as_its_kind() -> None:
    assert kind_of(PERSONAL_REPORT) == "personal"
    assert opened() == PERSONAL_REPORT


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("no unit", {"units": 0.0}, "units: expected a whole number"),
        ("half a unit", {"units": 20.5}, "units: expected a whole number"),
        ("more units than any device has", {"units": 1e12}, "units: expected a whole number"),
        ("more crossed units than units", {"crossed": 25.0}, "crossed, off, better"),
        ("units that gained and lost", {"better": 20.0, "worse": 20.0}, "crossed, off, better"),
        ("shares of more than a whole", {"both": 24.0}, "shares: expected a sum"),
        ("a share below 0", {"neither": -1.0}, "shares and labels: expected at least 0"),
        ("gains without squares", {"gain_squares": 0.01}, "gain_squares"),
        ("a loss below 0", {"model_loss": -0.1}, "losses"),
        ("a loss beyond the clip", {"model_loss": 900.0}, "model_loss: expected a length"),
        ("units with fewer labels than count", {"labels": 400.0}, "labels: expected 20"),
        ("labels beyond the clip", {"labels": 2401.0}, "labels: expected a length"),
        ("a shift beyond the clip", {"shift": [1e9, 0.0]}, "shift: expected a length"),
        ("a square that overflows", {"squares": [1e140, 1e140]}, "squares: expected a length"),
        ("dimensions that differ", {"cross": [0.0]}, "shift, squares, cross"),
        ("no dimension", {"shift": [], "squares": [], "cross": []}, "shift, squares, cross"),
        ("more noise than a policy may say", {"epsilon": 2.5, "delta": DELTA}, "epsilon"),
        ("noise of another delta", {"epsilon": 1.0, "delta": 0.1}, "delta"),
        ("a delta without noise", {"delta": DELTA}, "delta"),
        ("a generation before the first", {"generation": 0}, "generation"),
        ("an end before the start", {"at": 5}, "at: expected"),
        ("a time after every calendar", {"at": 1 << 40}, "personal.at"),
        ("a basis that is no digest", {"basis": "x"}, "basis"),
        ("another format", {"format": 2}, "format"),
    ],
)  # fmt: skip
def test_a_report_that_no_units_have_made_is_refused(
    name: str, change: dict[str, Any], words: str
) -> None:
    with pytest.raises(ContractError, match=words):
        opened(**change)


def test_noise_may_take_counts_below_zero_but_not_beyond_all_bounds() -> None:
    assert PERSONAL_REPORT_WITH_NOISE.units < 0
    with pytest.raises(ContractError, match="units"):
        replace(PERSONAL_REPORT_WITH_NOISE, units=1.1e9)


@given(st.data())
def test_whatever_units_have_is_taken_and_comes_back_as_it_was(data: st.DataObject) -> None:
    share = st.floats(0, 1)
    parts = data.draw(st.lists(st.tuples(*[share] * 4), min_size=1, max_size=5))
    units = [[x / max(1.0, sum(p)) for x in p] for p in parts]
    count = float(len(units))
    report = replace(
        PERSONAL_REPORT,
        units=count,
        crossed=0.0,
        better=count,
        worse=0.0,
        labels=20 * count,
        served=count,
        off=0.0,
        **dict(
            zip(
                ("both", "model_only", "personal_only", "neither"),
                map(math.fsum, zip(*units, strict=True)),
                strict=True,
            )
        ),
        gain_squares=math.fsum((u[2] - u[1]) ** 2 for u in units),
        model_loss=count,
        personal_loss=count,
        shift=(2 * count, -2 * count),
        squares=(4 * count, 4 * count),
        cross=(0.0, 4 * count),
    )
    assert decode(PersonalReport, encode(report), limit=MESSAGE_BYTES) == report


@given(st.sampled_from([*NUMBERS, "generation", "start"]), st.floats() | st.integers())
def test_any_number_in_any_field_is_taken_or_refused_in_words(name: str, number: float) -> None:
    try:
        report = opened(**{name: number})
    except ContractError:
        return
    assert all(math.isfinite(getattr(report, field)) for field in NUMBERS)


def test_a_scale_grows_with_the_variance_between_units() -> None:
    low, high = scales((0.0, 4.0), (0.0, 5.0))
    assert (low, high) == (0.5, pytest.approx(math.sqrt(9.25)))
