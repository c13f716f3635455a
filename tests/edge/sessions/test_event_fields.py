"""Events that are none: refused in words, and nothing has changed."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk.errors import InputError
from edge_sdk.sessions.running_features import IGNORED, RunningFeatures
from edge_sdk.sessions.session_store import SessionStore
from tests.clock import Clock
from tests.edge.sessions.declared import EVERY_KIND, VISIT, feature, of

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=4,
)
ALL: Any = {"item": "a", "price": 3.0, "places": 2, "paid": True}


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ({"price": float("nan")}, "a finite number, at most 1e\\+50 from 0, got nan"),
        ({"price": 1e300}, "a finite number"),
        ({"price": float("-inf")}, "a finite number"),
        ({"price": "3.0"}, "'price': expected a number, got '3.0'"),
        ({"price": True}, "a number"),
        ({"price": Decimal(3)}, "a number"),
        ({"price": [1.0]}, "a number"),
        ({"price": np.ones(1)}, "a number"),
        ({"places": 2.0}, "a whole number from -32768 to 32767"),
        ({"places": 32_768}, "a whole number"),
        ({"places": False}, "a whole number"),
        ({"paid": 1}, "True or False"),
        ({"item": 7}, "a text of at most 200 characters"),
        ({"item": "x" * 201}, "a text"),
        ({"item": "\udcff"}, "a text"),
        ({"item": b"a"}, "a text"),
        ("click", "fields by name, got str"),
        (None, "fields by name, got NoneType"),
        ([("price", 1.0)], "fields by name, got list"),
    ],
)
def test_a_field_that_is_not_as_declared_is_refused_whole(event: Any, said: str) -> None:
    store = SessionStore(EVERY_KIND, Clock())
    store.event("u", ALL)
    before = store.values("u")
    with pytest.raises(InputError, match=said) as refused:
        store.event("u", {**ALL, **event} if isinstance(event, dict) else event)
    assert refused.value.kind == "event"
    assert store.values("u") == before


@pytest.mark.parametrize(
    "at", [float("nan"), -1.0, 1e300, float("inf"), True, "now", b"1", np.timedelta64(1, "s"), [1]]
)
def test_a_moment_that_is_none_is_refused(at: Any) -> None:
    store = SessionStore(VISIT, Clock())
    with pytest.raises(InputError, match="at: expected Unix seconds"):
        store.event("u", ALL, at)
    assert store.status()["sessions"] == 0


@pytest.mark.parametrize("at", [1_000, np.float32(1_000), np.datetime64("1970-01-01T00:16:40")])
def test_a_moment_may_be_of_any_kind(at: Any) -> None:
    store = SessionStore(VISIT, Clock(1_007.0))
    store.event("u", ALL, at)
    assert store.values("u")[0]["f2"] == 7.0


def test_values_of_numpy_are_plain_ones_and_none_is_a_missing_one() -> None:
    rules = RunningFeatures(EVERY_KIND)
    event = {
        "price": np.float32(0.5),
        "places": np.int64(3),
        "paid": np.True_,
        "item": np.str_("a"),
    }
    checked = rules.checked(event)
    assert checked == {"price": 0.5, "places": 3, "paid": True, "item": "a"}
    assert {type(value) for value in checked.values()} == {float, int, bool, str}
    assert rules.checked({"price": 1, "item": None}) == {"price": 1.0}


def test_an_event_that_no_feature_can_see_is_refused_and_other_fields_are_told() -> None:
    rules = RunningFeatures(of(feature("f0", "float32", "sum", field="price")))
    with pytest.raises(InputError, match=r"expected some of \['item', .*got \['prise'\]"):
        rules.checked({"prise": 1.0})
    with pytest.raises(InputError, match="expected some of"):
        rules.checked({})
    assert rules.checked({"price": 1.0, "prise": object(), 7: 7}) == {"price": 1.0}
    assert rules.ignored == ("prise", "7")
    for i in range(100):
        rules.checked({"price": 1.0, f"field {i}": 0})
    assert len(rules.ignored) == IGNORED


def test_an_event_without_fields_counts_where_a_feature_sees_every_event() -> None:
    store = SessionStore(VISIT, Clock())
    store.event("u", {})
    assert store.values("u")[0] == {"f0": 1, "f1": 0, "f2": 0.0}


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from([*ALL, "other", ""]), ANYTHING, max_size=5) | ANYTHING)
def test_whatever_is_told_is_taken_or_refused_and_leaves_values_that_models_take(
    event: Any,
) -> None:
    store = SessionStore(EVERY_KIND, Clock())
    store.event("u", ALL)
    before = store.values("u")[0]
    try:
        store.event("u", event)
    except InputError:
        assert store.values("u")[0] == before
        return
    for each in EVERY_KIND.features:
        value = store.values("u")[0][each.name]
        if each.dtype == "string":
            assert isinstance(value, str)
        elif value is not None:
            with np.errstate(over="raise", invalid="raise"):
                assert np.isfinite(np.array([value]).astype(each.dtype)).all()
