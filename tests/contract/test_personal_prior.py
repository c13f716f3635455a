"""A prior's file: what is in it comes out of it, and what is wrong with it is said."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.personal.floats import LARGEST_FLOAT, Floats
from edge_sdk.contract.personal.prior import (
    PRIOR_BYTES,
    ClassPrior,
    NumberPrior,
    PersonalPrior,
)
from edge_sdk.contract.personal.settings import PersonalSettings

DIGEST = "0123456789abcdef" * 4
NUMBERS = st.floats(-1e6, 1e6, width=32)


def floats(shape: tuple[int, ...], value: float = 0.5) -> Floats:
    return Floats.of([value] * math.prod(shape), shape)


def class_prior(classes: int = 3, rank: int = 2, basis: int = 4, **changes: Any) -> ClassPrior:
    parts: dict[str, Any] = {
        "projection": floats((rank, basis)),
        "origin": floats((basis,)),
        "means": floats((classes, rank)),
        "between": floats((rank,)),
        "shift": floats((rank,)),
        "frequencies": floats((classes,), 1 / classes),
    }
    return ClassPrior(**(parts | changes))


def prior(**changes: Any) -> PersonalPrior:
    made: dict[str, Any] = {
        "model": "demo", "version": "1.0", "manifest": DIGEST, "generation": 1,
        "basis": "features", "helps": True, "labels": ("a", "b", 3), "classes": class_prior(),
    }  # fmt: skip
    return PersonalPrior(**(made | changes))


@given(st.lists(NUMBERS, min_size=4, max_size=4), st.booleans(), st.integers(1, 1_000))
def test_what_is_written_is_read(numbers: list[float], helps: bool, generation: int) -> None:
    part = class_prior(
        origin=Floats.of(numbers, (4,)),
        cohorts={"north": floats((2,)), "süd": floats((2,), 1.0)},
        factors=floats((6, 2)),
    )
    before = prior(classes=part, helps=helps, generation=generation, attribute="region")
    after = PersonalPrior.from_bytes(before.to_bytes())
    assert after == before
    assert after.basis_digest == before.basis_digest
    assert after.classes is not None
    assert after.classes.origin.numbers() == tuple(numbers)


def test_a_regressors_prior_is_read_as_it_was_written() -> None:
    part = NumberPrior(10.0, 2.0, 4.0, 0.0, 0.25, {"north": (1.0, -1.0)})
    before = prior(classes=None, labels=(), number=part, basis="outputs", attribute="region")
    assert PersonalPrior.from_bytes(before.to_bytes()) == before
    assert before.kind == "number"


@given(st.data())
def test_a_damaged_file_is_refused_or_is_another_prior(data: st.DataObject) -> None:
    raw = bytearray(prior().to_bytes())
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    try:
        found = PersonalPrior.from_bytes(bytes(raw))
    except ContractError:
        return
    # Whatever is let in can be used and written: damage itself is seen by the signed digest.
    assert PersonalPrior.from_bytes(found.to_bytes()) == found


@given(st.data())
def test_a_torn_file_is_refused(data: st.DataObject) -> None:
    raw = prior().to_bytes()
    with pytest.raises(ContractError):
        PersonalPrior.from_bytes(raw[: data.draw(st.integers(0, len(raw) - 1))])


def test_a_file_that_is_too_large_is_refused_unread() -> None:
    with pytest.raises(ContractError, match=f"at most {PRIOR_BYTES} bytes"):
        PersonalPrior.from_bytes(b" " * (PRIOR_BYTES + 1))


def test_another_format_is_refused_by_its_number() -> None:
    plain = json.loads(prior().to_bytes()) | {"format": 2, "basis": "dreams"}
    with pytest.raises(ContractError, match=r"format: expected one of \[1\], got 2"):
        PersonalPrior.from_bytes(json.dumps(plain).encode())


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "neither classes nor number": (lambda: prior(classes=None), "either classes or number"),
    "labels of another count": (lambda: prior(labels=("a",)), "labels: expected 3, got 1"),
    "one label twice": (lambda: prior(labels=("a", "a", "b")), "different labels"),
    "no digest of a release": (lambda: prior(manifest="x"), "SHA-256"),
    "generation 0": (lambda: prior(generation=0), "at least 1"),
    "cohorts of no attribute": (
        lambda: prior(classes=class_prior(cohorts={"a": floats((2,))})),
        "attribute",
    ),
    "too many dimensions": (lambda: class_prior(rank=49), "1 to 48 rows"),
    "one class": (lambda: class_prior(classes=1), "2 to 1000 classes"),
    "too large a map": (lambda: class_prior(classes=1_000, basis=2_000), "classes × basis"),
    "means of another shape": (lambda: class_prior(means=floats((3, 5))), "means: expected shape"),
    "factors of another shape": (
        lambda: class_prior(factors=floats((5, 2))),
        "factors: expected shape",
    ),
    "a variance below 0": (lambda: class_prior(shift=floats((2,), -1.0)), "shift: expected 0 to"),
    "frequencies that sum to 3": (
        lambda: class_prior(frequencies=floats((3,), 1.0)),
        "sum to 1",
    ),
    "a number's noise of 0": (lambda: NumberPrior(0.0, 1.0, 1.0, 1.0, 0.0), "noise: expected"),
    "weights that sum to 2": (lambda: PersonalSettings(start=(1.0, 1.0, 0.0)), "sum to 1"),
    "a half-life of nothing": (lambda: PersonalSettings(half_life=0.0), "half_life: expected 1"),
    "a NaN": (lambda: Floats.of([math.nan], (1,)), "expected numbers within"),
    "an infinity": (lambda: Floats.of([math.inf], (1,)), "expected numbers within"),
    "a number beyond all columns": (
        lambda: Floats.of([10 * LARGEST_FLOAT], (1,)),
        "expected numbers within",
    ),
    "fewer numbers than the shape says": (lambda: Floats.of([1.0], (2,)), "expected 8 bytes"),
    "three axes": (lambda: Floats.of([1.0], (1, 1, 1)), "one or two sizes"),
    "no base64": (lambda: Floats((1,), "§"), "base64"),
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_a_prior_that_cannot_be_is_refused_in_words(sentence: str) -> None:
    make, words = REFUSED[sentence]
    with pytest.raises(ContractError, match=words):
        make()


def test_the_basis_stays_the_same_where_only_settings_and_variances_change() -> None:
    first = prior()
    other = class_prior(between=floats((2,), 3.0), shift=floats((2,), 2.0))
    second = prior(
        classes=other, version="2.0", generation=7, helps=False, settings=PersonalSettings(pull=1.0)
    )
    assert first.basis_digest == second.basis_digest


@pytest.mark.parametrize(
    "changed",
    [
        {"basis": "embedding"},
        {"labels": ("a", "b", "3")},
        {"classes": class_prior(means=floats((3, 2), 0.75))},
        {"classes": class_prior(projection=floats((2, 4), 0.75))},
        {"classes": class_prior(origin=floats((4,), 0.75))},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_the_basis_is_another_one_where_sums_would_mean_something_else(
    changed: dict[str, Any],
) -> None:
    assert replace(prior(), **changed).basis_digest != prior().basis_digest
