"""Bodies that the hub reads, and what is wrong with them: valid ones with a few values replaced.

A value of :data:`POISON` has broken some program before: numbers beyond what databases, floats and
calendars hold, texts that UTF-8, file systems or PostgreSQL refuse, other types, deep nesting.
"""

from __future__ import annotations

import copy
import io
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import yaml
from hypothesis import strategies as st

from cloud_hub.data.dataset import Dataset
from cloud_hub.hub import Hub
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.experiment_reports import InterleaveReport, Moments, Pairs, ShadowReport
from edge_sdk.contract.fleet import CheckIn, CloudRequest, EnrolRequest, ReportedState
from edge_sdk.contract.groups import GroupCounts
from edge_sdk.contract.messages import (
    Body,
    FeedbackReport,
    KeyVotes,
    SampleBatch,
    TensorSample,
    UpdateEvent,
    WindowReport,
    kind_of,
)
from edge_sdk.contract.window import LATENCY_BINS, Energy, Window
from tests.contract.examples import histogram_text
from tests.edge.builders import profile

WRITTEN = {
    "@huge@": "1e400",
    "@nan@": "NaN",
    "@inf@": "-Infinity",
    "@digits@": "9" * 5_000,
    **{f"@deep{n}@": "[" * n + "0" + "]" * n for n in (30, 300, 900)},
}
"""Texts that stand for what no Python value is written as."""

NUMBERS: tuple[Any, ...] = (
    *(0, 1, -1, 2**31, 2**32, 2**40, 2**53, 2**62, 2**63 - 1, 2**63, 2**64, -(2**63), -(2**64)),
    *(10**30, 10**400, 1e308, -1e308, 5e-324, 1e150, 1e30, 0.5, -0.0, "@huge@", "@nan@"),
)
TEXTS: tuple[Any, ...] = (
    *("", "\0", "a\0b", "\ud800", "x\udfffy", "\ufeff", "\u202e", "x" * 5_000, "é" * 300, " "),
    *("0", "1.0", "9.9", "demo", "other", "control", "1e5", "nan", "../../etc/passwd", "a" * 64),
    *("\n", "=", "AA", "a" * 64, "1.1", "candidate", "999999999.999999999"),
)
POISON: tuple[Any, ...] = (
    *NUMBERS,
    *TEXTS,
    *WRITTEN,
    *(True, False, None, [], {}, [1], [[]], [None], {"a": 1}, {"": 0}, {"\0": 0}, [1, "a"]),
    *([0] * 64, [2**62] * 64, [-1] * 64, {str(i): i for i in range(300)}),
)


RAW: tuple[bytes, ...] = (
    *(
        b"",
        b"\0",
        b"null",
        b"0",
        b"[]",
        b"{}",
        b'"x"',
        b"NaN",
        b"1e400",
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
    ),
    *(
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"[" * 900 + b"]" * 900,
        b"{" * 40,
        b"-" * 40,
        b"- " * 300,
    ),
    '{"model":"demo"}'.encode("utf-16"),
    b'{"messages":[' + b"1," * 9_999 + b"1]}",
    b'{"messages":[],"messages":[]}',
    b'{"model":"demo","model":3}',
    b"\x1f\x8b\x08\x00aa",
    *(b'"\xed\xa0\x80"', b'{"messages":"' + b"9" * 5_000 + b'"}', b"9" * 5_000, b"a: &a [*a]"),
)


def _now() -> int:
    return int(time.time()) // 300 * 300


def reports(hub: Hub, experiment: str | None) -> list[Body]:
    """Valid bodies of messages of demo 1.0, one of each kind and more."""
    start = _now() - 600
    window = Window("demo", "1.0", start, start + 300)
    arm = Window("demo", "1.1", start, start + 300, experiment or "none", "candidate")
    layout = profile()
    features = histogram_text(*((10, *[0] * (f.bins + 1)) for f in layout.features))
    outputs = histogram_text(*((10, *[0] * (f.bins + 1)) for f in layout.outputs))
    digest = hub.registry.release("demo", "1.0").profile_digest
    other = hub.registry.release("demo", "1.1").profile_digest
    latency = {"model": (8, *[0] * (LATENCY_BINS - 1))}
    full: dict[str, Any] = {
        "latency": latency,
        "errors": {"model": 1, "shape": 2},
        "lost": {"ring": 1},
        "resources": {"rss_mb": 50.0},
        "energy": Energy(3.0, 8, 60.0),
        "units": 2,
        "degraded": 1,
    }
    groups = {"f0": {"other": GroupCounts(10, outputs)}}
    return [
        WindowReport(window, digest, {"model": 8, "pack": 2}, features, outputs, 10, **full),
        WindowReport(window, digest, {"model": 10}, features, outputs, 10, groups=groups),
        WindowReport(arm, other, {"model": 10}, features, outputs, 10, **full),
        FeedbackReport(window, 5, 4, 5, 3, {"model": (5, 4)}, 3, 2.0, 4.0, 1),
        FeedbackReport(arm, 5, 4, 5, 3, groups={"f0": {"other": (5, 3)}}),
        ShadowReport(
            arm,
            "1.0",
            10,
            2,
            Moments(10, 0.1, 0.2),
            Moments(),
            Moments(10, 1.0, 2.0),
            {"model": 1},
            {"queue": 2},
            Pairs(3, 1, 1, 1),
        ),
        InterleaveReport(arm, "1.0", 9, {"candidate": 3}, 2, {"control": 5}, {"control": 4}),
        SampleBatch("demo", "1.0", ((1.0, 2.0, 3.0, 4.0),) * 3, (0, 1, 2), (start,) * 3),
        TensorSample("demo", "1.0", {"X": (1, 4)}, "KLUv/SAEIQAAAQIDBA==", 1, start),
        KeyVotes("demo", "1.0", start, ("aa" * 16, "bb" * 16)),
        UpdateEvent("demo", "failed", "1.1", start, "1.0", "probe", "slow", experiment),
    ]


def paths_of(plain: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return where in ``plain`` a value can be replaced, itself included."""
    items: Any = ()
    if isinstance(plain, Mapping):
        items = plain.items()
    elif isinstance(plain, list):
        items = enumerate(plain[:4])
    return [path, *(p for key, item in items for p in paths_of(item, (*path, key)))]


def _at(plain: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        plain = plain[key]
    return plain


def replaced(plain: Any, path: tuple[Any, ...], value: Any) -> Any:
    """Return ``plain`` with another value at ``path``."""
    if not path:
        return value
    changed = copy.deepcopy(plain)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return changed


def poison(instead_of: Any) -> st.SearchStrategy[Any]:
    """A value that breaks something, mostly of the kind of ``instead_of``, so that it gets far."""
    anything = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
        max_leaves=4,
    )
    alike = NUMBERS if isinstance(instead_of, int | float) else POISON
    alike = TEXTS if isinstance(instead_of, str) else alike
    same = st.sampled_from(alike)
    return st.one_of(same, same, same, st.sampled_from(POISON), anything)


@st.composite
def damaged(draw: st.DrawFn, plain: Any, most: int = 3) -> Any:
    """``plain`` with up to ``most`` values replaced, left out or added."""
    # One thing that is wrong gets further than three.
    for _ in range(min(most, draw(st.sampled_from([0, 1, 1, 1, 1, 2, 3])))):
        paths = paths_of(plain)
        # Most of the time a leaf: a list in place of a message says little about the message.
        leaves = [path for path in paths if not isinstance(_at(plain, path), dict | list)]
        path = draw(st.sampled_from(leaves if leaves and draw(st.integers(0, 3)) else paths))
        value = draw(poison(_at(plain, path)))
        if path and isinstance(path[-1], str) and draw(st.integers(0, 9)) == 0:
            path, value = (*path[:-1], draw(st.sampled_from(["\0", "zz", "x" * 300]))), value
        plain = replaced(plain, path, value)
    return plain


def as_json(plain: Any) -> bytes:
    """Return the bytes of JSON, with what JSON does not have written out, and lone surrogates."""
    return _written(json.dumps(plain, default=str))  # in ASCII: surrogates are escaped


def _written(text: str) -> bytes:
    for token, meant in WRITTEN.items():
        for mark in ('"', "'"):
            text = text.replace(f"{mark}{token}{mark}", meant)
    return text.encode()


def json_of(plain: Any) -> st.SearchStrategy[bytes]:
    """JSON of ``plain``, damaged."""
    return damaged(plain).map(as_json)


@st.composite
def uploads(draw: st.DrawFn, bodies: list[Body]) -> bytes:
    """Uploads of one to four messages, some of them damaged, some envelopes too."""
    messages = []
    for number in range(draw(st.sampled_from([1, 2, 4, 8, 8, 8]))):
        body = draw(st.sampled_from(bodies))
        message = {
            "boot": draw(st.sampled_from(["b1", "b2", "b3"])),
            "sequence": draw(st.integers(1, 10**9)),
            "kind": kind_of(body),
            "body": draw(damaged(to_plain(body))),
        }
        messages.append(draw(damaged(message, 1)) if number == 3 else message)
    return as_json(
        draw(damaged({"messages": messages}, 1)) if len(messages) == 2 else {"messages": messages}
    )


def yaml_of(plain: Any) -> st.SearchStrategy[bytes]:
    """YAML of ``plain``, damaged; what YAML cannot write is written as JSON, which it reads."""

    def written(value: Any) -> bytes:
        try:
            return _written(yaml.safe_dump(value, allow_unicode=False))
        except (yaml.YAMLError, ValueError, RecursionError):
            return as_json(value)

    return damaged(plain).map(written)


def _npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def datasets() -> st.SearchStrategy[bytes]:
    """Files of rows: valid ones, of odd shapes and types, damaged ones."""
    x, y = np.zeros((5, 4), np.float32), np.zeros(5, np.int64)
    arrays: list[dict[str, Any]] = [
        {"X": x, "y": y},
        {"X": x},
        {"y": y},
        {"X": x[0], "y": y},
        {"X": x[:0], "y": y[:0]},
        {"X": np.full((5, 4), np.nan), "y": y},
        {"X": np.full((5, 4), np.inf), "y": y},
        {"X": x.astype(str), "y": y},
        {"X": x.astype(complex), "y": y},
        {"X": x, "y": y + 0.5},
        {"X": x, "y": y.astype("datetime64[s]")},
        {"X": x.astype("S3"), "y": y},
        {"X": x, "y": np.array(["a\0b", "\ud800", "c", "d", "e"], dtype=object)},
        {"X": np.zeros((5, 4), [("a", "f4")]), "y": y},
        {"X": np.float32(1), "y": y},
        {"X": x, "y": np.zeros((5, 4, 2))},
        {"X": np.zeros((5, 0)), "y": y},
        {"X": x.astype("U0"), "y": y},
        {"X": x.astype(np.float16), "y": y.astype(bool)},
        {"X": x.astype("M8[D]"), "y": y},
        {"X": x + 1e30, "y": np.full(5, 2**63, np.uint64)},
        {"X": x.astype(np.longdouble), "y": y},
    ]
    files = [_npz(**each) for each in arrays] + [
        Dataset.of(x, y).to_bytes(),
        Dataset.read({"a": ["x", None], "b": [1.5, None], "y": [0, 1]}).to_bytes(),
        b"a,b,y\n1,x,0\n2,,1\n",
        b'a,b\n"1,2\n',
        b"a\n" + b"9" * 500 + b"\n",
        b"y\n1\n",
        b"a,y\n" + b"\xff\xfe,1\n",
        b"\xef\xbb\xbfa,y\n1,2\n",
    ]
    return st.one_of(st.sampled_from(files), st.sampled_from(files).flatmap(cut_or_flipped))


def cut_or_flipped(raw: bytes) -> st.SearchStrategy[bytes]:
    """``raw`` with its end cut off, or one byte changed."""
    place = st.integers(0, max(0, len(raw) - 1))
    flip = st.tuples(place, st.integers(1, 255)).map(
        lambda at: raw[: at[0]] + bytes([raw[at[0]] ^ at[1]]) + raw[at[0] + 1 :]
    )
    return st.one_of(place.map(lambda end: raw[:end]), flip) if raw else st.just(raw)


POLICY: dict[str, Any] = {
    "cloud": "big",
    "sharing": {"samples": True, "per_window": 5},
    "reporting": {"window": "5m", "votes": 10, "minimum_observations": 10, "right_within": 1.0},
    "cascade": {"mode": "cascade", "threshold": 0.5, "deadline_ms": 100},
    "packs": {"every": "1h", "minimum_devices": 3, "entries": 100, "expires": "7d"},
    "retention": {"report_days": 2, "sum_days": 400, "vote_days": 30, "sample_days": 400},
    "budget": {"runs_per_week": 7},
    "gate": {"minimum_rows": 50, "max_bytes": 10_000_000, "groups": [{"by": "f0", "edges": [0.5]}]},
    "experiment": {"strategy": "canary", "steps": [0.1, 1.0], "soak": "10m"},
    "triggers": [
        {"name": "late", "when": {"every": "7d"}, "cooldown": "1h"},
        {"name": "asked", "when": {"webhook": True}},
        {"name": "drift", "when": {"drift": {}}, "hold": "1h"},
        {"name": "poor", "when": {"performance": {"below": 0.9, "minimum": 100}}},
        {"name": "many", "when": {"volume": {"growth": 0.1}}, "not_before": "1h"},
    ],
}

EXPERIMENT: dict[str, Any] = {
    "model": "demo",
    "strategy": "ab",
    "minimum_devices": 1,
    "soak": "10m",
    "minimum_outcomes": 100,
    "arms": [{"name": "candidate", "version": "1.1", "weight": 0.5}],
    "outcomes": [
        {"name": "accuracy", "metric": "accuracy", "minimum_effect": 0.02},
        {"name": "reward", "metric": "reward", "minimum_effect": 0.1},
        {"name": "latency", "metric": "latency", "minimum_effect": 0.5},
        {"name": "energy", "metric": "energy", "minimum_effect": 0.5},
    ],
}

FEATURES: dict[str, Any] = {
    "entities": ["a", "b"],
    "columns": {"f0": [1.0, 2.0], "f1": [None, "3"]},
    "defaults": {"f0": 0.0, "f1": None},
}

CHECKIN = to_plain(
    CheckIn({"demo": ReportedState("1.0", 1, "aa" * 32, failed=("bb" * 32,))}, {"region": "eu"})
)
CALL = {"build": 17, "who": "ci", "tags": ["a", {"b": 1.5}]}


def sources(hub: Hub, experiment: str | None) -> Mapping[str, st.SearchStrategy[bytes]]:
    """Strategies of bodies by the end of the path that reads them."""
    releases = json.loads(hub.repository.releases().to_bytes())
    enrol, row = (
        to_plain(EnrolRequest(("demo",), "0a" * 32, "1b" * 64, {"region": "eu"})),
        to_plain(CloudRequest("demo", "1.0", (1.0, 2.0, 3.0, 4.0))),
    )
    return {
        "/messages": uploads(reports(hub, experiment)),
        "/checkin": json_of(CHECKIN),
        "/enrol": json_of(enrol),
        "/predict": json_of(row),
        "/policy": yaml_of(POLICY),
        "/policy/plan": yaml_of(POLICY),
        "/triggers/dry-run": yaml_of(POLICY),
        "/experiments": yaml_of(EXPERIMENT),
        "/experiments/plan": yaml_of(EXPERIMENT),
        "/features": json_of(FEATURES),
        "/datasets/{name}": datasets(),
        "/call": json_of(CALL),
        "/versions/{version}": json_of(releases),
        "/result/{kind}": datasets(),
    }


def noise() -> st.SearchStrategy[bytes]:
    """Bodies that no route expects."""
    return st.one_of(st.sampled_from(RAW), st.binary(max_size=64))


Strategies = Callable[[Hub], Mapping[str, st.SearchStrategy[bytes]]]
