"""Declarations that tests of sessions have in common, and random ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from edge_sdk.contract.personal.session_features import RunningFeature, SessionFeatures

FIELDS: Mapping[str, Any] = {
    "item": "string",
    "price": "float64",
    "places": "int16",
    "paid": "bool",
}
IDLE = 600.0


def feature(name: str, dtype: Any, kind: Any, **terms: Any) -> RunningFeature:
    return RunningFeature(name, dtype, terms.pop("default", None), kind=kind, **terms)


VISIT = SessionFeatures(
    "visit",
    1,
    (
        feature("f0", "float32", "count"),
        feature("f1", "float32", "mean", field="price", half_life_seconds=60.0, default=0),
        feature("f2", "float32", "since", default=-1),
    ),
    FIELDS,
    IDLE,
)
"""Three columns of the small release of tests."""


def of(*features: RunningFeature, **changes: Any) -> SessionFeatures:
    """Sessions of these features."""
    return replace(VISIT, features=features, **changes)


EVERY_KIND = of(
    feature("clicks", "int64", "count"),
    feature("priced", "int8", "count", field="price"),
    feature("bought", "int32", "count", where={"paid": True}),
    feature("spent", "float64", "sum", field="price"),
    feature("seats", "int16", "sum", field="places"),
    feature("usual", "float64", "mean", field="price"),
    feature("least", "float32", "minimum", field="price"),
    feature("most", "int64", "maximum", field="places"),
    feature("item", "string", "last", field="item", default="none"),
    feature("item_before", "string", "last", field="item", nth=3),
    feature("paid", "bool", "last", field="paid"),
    feature("items", "int64", "distinct", field="item", most=4),
    feature("since", "float64", "since", default=-1),
    feature("since_paid", "float64", "since", where={"paid": True}),
    feature("age", "float64", "age"),
    feature("lately", "float64", "count", half_life_seconds=30.0),
    feature("spent_lately", "float32", "sum", field="price", half_life_seconds=30.0),
    feature("usual_lately", "float64", "mean", field="places", half_life_seconds=7.0),
    feature("clicks_1m", "int64", "count", window_seconds=60.0),
    feature("spent_1m", "float64", "sum", field="price", window_seconds=60.0),
    feature("usual_1m", "float64", "mean", field="price", window_seconds=60.0, default=0),
    feature("least_1m", "float64", "minimum", field="price", window_seconds=60.0),
    feature("most_1m", "int16", "maximum", field="places", window_seconds=60.0, default=-1),
)
"""Features of each kind and with all terms."""

EVENTS = st.fixed_dictionaries(
    {"price": st.floats(-1e6, 1e6)},
    optional={
        "item": st.sampled_from(["a", "b", "c", "ø", "e", "f"]),
        "places": st.integers(-100, 100) | st.none(),
        "paid": st.booleans(),
    },
)
"""Events that devices take."""

MOMENTS = st.floats(0.0, 4e9)
GAPS = st.sampled_from([0.0, 0.5, 1.0, 7.0, 60.0, 599.0, 600.0, 601.0, -3.0, -599.0, -700.0, 1e5])
"""Seconds between two entries of a log: pauses, clocks that go back and clocks that jump."""
