"""Declared session features: what is valid travels unchanged and bounded, the rest is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.limits import PLAN_BYTES
from edge_sdk.contract.personal.session_features import (
    DECAYING,
    DECLARATION_BYTES,
    DISTINCT,
    LAST,
    SESSION_FEATURES,
    WINDOWED,
    RunningFeature,
    SessionFeatures,
)
from edge_sdk.contract.plan import Plan
from tests.contract.examples import PLAN, WITH_SESSIONS

FIELDS: Any = {"item": "string", "price": "float64", "places": "int16", "paid": "bool"}
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
WHERE = st.fixed_dictionaries(
    {}, optional={"item": TEXTS, "paid": st.booleans(), "places": st.integers(-99, 99)}
)


@st.composite
def features(draw: st.DrawFn, name: str) -> RunningFeature:
    kind: Any = draw(
        st.sampled_from(["count", "sum", "mean", "minimum", "last", "distinct", "since"])
    )
    terms: dict[str, Any] = {"where": draw(WHERE)}
    if kind not in ("count", "since"):
        terms["field"] = "item" if kind in ("last", "distinct") else "price"
    seconds = draw(st.none() | st.floats(1e-3, 1e9))
    if kind in DECAYING and draw(st.booleans()):
        terms["half_life_seconds"] = seconds
    elif kind in WINDOWED:
        terms["window_seconds"] = seconds
    if kind == "last":
        terms["nth"] = draw(st.integers(1, LAST))
    if kind == "distinct":
        terms["most"] = draw(st.integers(1, DISTINCT))
    default = draw(st.none() | (st.just("x") if kind == "last" else st.floats(-9, 9)))
    return RunningFeature(
        name, "string" if kind == "last" else "float64", default, kind=kind, **terms
    )


@given(
    st.lists(st.text(min_size=1, max_size=9).filter(lambda t: t.isprintable()), unique=True,
             min_size=1, max_size=6).flatmap(
        lambda names: st.tuples(*(features(name) for name in names))
    ),
    st.floats(1, 1e9), st.integers(1, 1_000_000), st.booleans(),
)  # fmt: skip
def test_what_is_declared_travels_unchanged(
    declared: tuple[RunningFeature, ...], idle: float, sessions: int, kept: bool
) -> None:
    whole = SessionFeatures("visit", 3, declared, FIELDS, idle, sessions, kept=kept)
    assert SessionFeatures.from_json(whole.to_json()) == whole
    assert whole.rules_digest == replace(whole, version=4, sessions=7, kept=not kept).rules_digest
    assert whole.rules_digest != replace(whole, idle_seconds=2 * idle).rules_digest
    plan = replace(PLAN, sessions=whole)
    assert Plan.from_json(plan.to_json()) == plan


def test_a_plan_with_the_largest_declaration_is_one_that_devices_read() -> None:
    def filled(count: int) -> SessionFeatures:
        where = {"item": "ø" * 150}
        many = tuple(
            RunningFeature(f"{i}" + "x" * 190, "int64", kind="count", where=where)
            for i in range(count)
        )
        return SessionFeatures("visit", 1, many, FIELDS)

    with pytest.raises(ContractError, match=f"at most {DECLARATION_BYTES} bytes in all"):
        filled(SESSION_FEATURES)
    plan = replace(PLAN, sessions=filled(40))
    assert len(plan.to_json()) < PLAN_BYTES // 4
    assert Plan.from_json(plan.to_json()) == plan


def test_an_older_plan_declares_none_and_says_nothing_of_them() -> None:
    assert PLAN.sessions is None
    assert b"sessions" not in PLAN.to_json()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b'"kind":"last"', b'"kind":"newest"', "sessions.features\\[3\\].kind: expected one of"),
        (b'"idle_seconds":600.0', b'"idle_seconds":0.0', "idle: expected 1 s"),
        (b'"idle_seconds":600.0', b'"idle_seconds":1e300', "idle: expected 1 s"),
        (b'"sessions":500', b'"sessions":0', "sessions: expected 1 to"),
        (b'"most":40', b'"most":4000', "most: expected 1 to 1024"),
        (b'"nth":2', b'"nth":65', "nth: expected 1 to 64"),
        (b'"name":"items"', b'"name":"clicks"', "'clicks'] stand twice"),
        (b'"where":{"paid":true}', b'"where":{"paid":1}', "where paid: expected true or false"),
        (b'"price":"float64"', b'"price":"float16"', "price: expected float32 or float64"),
        (b'"price":"float64"', b'"price":"string"', "mean needs numbers"),
        (b'"format":1,"idle', b'"format":2,"idle', "format: expected one of \\[1\\], got 2"),
    ],
)
def test_a_declaration_that_devices_cannot_keep_is_refused(
    old: bytes, new: bytes, said: str
) -> None:
    raw = WITH_SESSIONS.to_json()
    assert raw.count(old) == 1
    with pytest.raises(ContractError, match=said):
        Plan.from_json(raw.replace(old, new))
