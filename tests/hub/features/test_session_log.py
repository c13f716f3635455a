"""Logs of events, replayed for trainings: the same values as devices joined, to the bit."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_hub.errors import Invalid
from cloud_hub.features.declaration import (
    Feature,
    FeatureSet,
    FeatureSource,
    SessionSource,
    VersionedSet,
    parse_set,
)
from cloud_hub.features.session_log import END, session_features
from edge_sdk.contract.personal.session_features import RunningTerms, SessionFeatures
from edge_sdk.sessions.session_store import SessionStore
from tests.clock import Clock
from tests.edge.sessions.declared import EVENTS, EVERY_KIND, FIELDS, IDLE
from tests.hub.features.sessions import TEXT, log

TERMS = list(RunningTerms.__dataclass_fields__)


def declared_as(devices: SessionFeatures) -> VersionedSet:
    """The set on the hub of which devices were given this."""
    features = tuple(
        Feature(f.name, f.dtype, f.default, **{name: getattr(f, name) for name in TERMS})
        for f in devices.features
    )
    source = FeatureSource(session=SessionSource(devices.fields, devices.idle_seconds))
    declared = FeatureSet("visit", "user", features, "me", source=source)
    return VersionedSet(declared, devices.version)


SET = declared_as(EVERY_KIND)
PAUSES = st.sampled_from([0.0, 0.1, 1.0, 13.7, 60.0, IDLE, IDLE + 0.5, 1e5])
WHAT = EVENTS | st.just("ask") | st.just("end")


def test_the_hub_gives_devices_what_a_set_declares() -> None:
    given = SET.declared.sessions_at(1)
    assert replace(given, memory_bytes=EVERY_KIND.memory_bytes) == EVERY_KIND


def bits(value: Any) -> Any:
    return struct.pack("<d", value) if isinstance(value, float) else value


def as_kept(value: Any, dtype: str) -> Any:
    """A device's value as the model gets it, and as a training has it."""
    if value is None or dtype in ("string", "bool"):
        return value
    return np.dtype(dtype).type(value).item()


@settings(max_examples=120, deadline=None)
@given(
    st.floats(0.0, 4e9),
    st.lists(st.tuples(st.sampled_from("uvw"), PAUSES, WHAT), min_size=1, max_size=50),
    st.randoms(use_true_random=False),
)
def test_a_training_sees_what_devices_joined_to_the_bit(
    start: float, told: list[tuple[str, float, Any]], shuffle: Any
) -> None:
    clock = Clock(start)
    store = SessionStore(EVERY_KIND, clock)
    events, asked, joined = [], [], []
    for unit, pause, what in told:
        clock.now += pause + 1e-3  # what is asked at the very moment of an event sees it
        if what == "ask":
            asked.append((unit, clock.now))
            joined.append(store.values(unit)[0])
        elif what == "end":
            store.end(unit)
            events.append({"user": unit, "event_timestamp": clock.now, END: True})
        else:
            store.event(unit, what)
            events.append({"user": unit, "event_timestamp": clock.now, **what})
    order = list(range(len(asked)))
    shuffle.shuffle(order)
    shuffle.shuffle(events)  # a log need not be in order
    table = pa.Table.from_pylist(events, schema_of_log())
    labels = pa.table(
        {
            "user": pa.array([asked[i][0] for i in order], pa.string()),
            "time": pa.array([asked[i][1] for i in order], pa.float64()),
        }
    )
    done = session_features(SET, table, labels, "time").table
    for each in EVERY_KIND.features:
        trained = done[each.name].to_pylist()
        served = [as_kept(joined[i][each.name], each.dtype) for i in order]
        assert list(map(bits, trained)) == list(map(bits, served)), each.name


def schema_of_log() -> pa.Schema:
    kinds = {
        "string": pa.string(),
        "float64": pa.float64(),
        "int16": pa.int16(),
        "bool": pa.bool_(),
    }
    fields = [(name, kinds[dtype]) for name, dtype in FIELDS.items()]
    return pa.schema(
        [("user", pa.string()), ("event_timestamp", pa.float64()), (END, pa.bool_()), *fields]
    )


def visit() -> VersionedSet:
    return VersionedSet(parse_set(TEXT), 3)


def labels(*rows: tuple[str, float]) -> pa.Table:
    user, at = zip(*rows, strict=True)
    return pa.table({"user_id": user, "time": pa.array(at, pa.float64())})


def test_a_label_sees_the_events_up_to_its_moment_and_none_of_the_future() -> None:
    events = log(("u", 10.0, "a", 3.0), ("u", 20.0, None, 5.0), ("u", 30.0, "c", None))
    done = session_features(
        visit(),
        events,
        labels(("u", 25.0), ("u", 9.9), ("u", 10.0), ("v", 25.0), ("u", 99.0)),
        "time",
    )
    assert done.table["f0"].to_pylist() == [2, 0, 1, 0, 3]
    assert done.table["item"].to_pylist() == ["a", "none", "a", "none", "c"]
    assert done.table.column_names[:2] == ["user_id", "time"]
    (covered,) = done.coverage
    assert (covered.ref, covered.rows, covered.defaulted) == ("visit@3", 5, 2)


def test_moments_may_be_timestamps_and_units_whole_numbers() -> None:
    times = pa.array([10_000_000, 20_000_000]).cast(pa.timestamp("us", "UTC"))
    events = pa.table({"user_id": [7, 7], "event_timestamp": times, "price": [3, 5]})
    asked = pa.table({"user_id": ["7"], "time": ["1970-01-01T00:00:15Z"]})
    done = session_features(visit(), events, asked, "time").table
    assert (done["f0"].to_pylist(), done["f1"].to_pylist()) == ([1], [3])


def test_a_log_without_events_gives_the_defaults() -> None:
    done = session_features(
        visit(), log(("u", 1.0, "a", 1.0)).slice(0, 0), labels(("u", 2.0)), "time"
    )
    assert done.table["item"].to_pylist() == ["none"]
    assert session_features(
        visit(), log(("u", 1.0, "a", 1.0)), labels(("u", 2.0)).slice(0, 0), "time"
    )


@pytest.mark.parametrize(
    ("events", "said"),
    [
        (log(("u", 1.0, "a", 1e300)), "events of 'u': event field 'price': expected a finite"),
        (log(("u", 1.0, "x" * 201, 1.0)), "a text of at most 200"),
        (log(("u", -1e12, "a", 1.0)), "expected Unix seconds"),
        (log(("u", 1.0, "a", 1.0)).rename_columns(["user", "event_timestamp", "item", "price"]),
         "user_id: expected this column of entities"),
        (log(("u", 1.0, "a", 1.0)).rename_columns(["user_id", "at", "item", "price"]),
         "event_timestamp: expected this column of moments"),
        (log(("u", 1.0, "a", 1.0)).rename_columns(["user_id", "event_timestamp", "i", "p"]),
         "events: expected some of the fields"),
    ],
)  # fmt: skip
def test_a_log_that_devices_could_not_have_had_is_refused(events: pa.Table, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        session_features(visit(), events, labels(("u", 2.0)), "time")


def test_labels_that_have_a_feature_already_are_refused() -> None:
    with pytest.raises(Invalid, match="stand in the labels already"):
        session_features(
            visit(),
            log(("u", 1.0, "a", 1.0)),
            labels(("u", 2.0)).append_column("f0", [[1.0]]),
            "time",
        )
