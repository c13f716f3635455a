"""What an application may give beside its input: everything else is one clear error of the tree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sdk import EdgeDevice
from edge_sdk.config import DeviceConfig
from edge_sdk.contract.groups import GroupColumn
from edge_sdk.contract.limits import LARGEST_SUM
from edge_sdk.contract.messages import FeedbackReport, WindowReport
from edge_sdk.errors import (
    EdgeError,
    HubError,
    InputError,
    PackError,
    ReleaseError,
    StateError,
    TrustError,
)
from edge_sdk.telemetry.label_join import LabelOutcomes, join
from tests.edge.builders import make_release, rows

ROW = rows(1)[0]
NAN, INFINITY = float("nan"), float("inf")


class Odd:
    """Nothing that anybody expects."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_release(tmp_path_factory.mktemp("release")).folder


@pytest.fixture
def device(folder: Path) -> Iterator[EdgeDevice]:
    with EdgeDevice.offline(folder) as device:
        yield device


NUMBERLESS = [True, "a", "", b"x", -1, -0.5, NAN, INFINITY, 10**400, [], [1], {}, Odd(), 1j]
TEXTLESS = [True, "", b"x", 0, 1.5, NAN, [], ["a"], {}, Odd(), "x" * 1_000, "\ud800", ROW]
LISTLESS = [True, "ab", b"ab", 0, 1.5, NAN, {}, {"a": 1}, Odd(), [[1]], [{}], object]
REFUSED: dict[str, tuple[Callable[[EdgeDevice, Any], object], list[Any], str]] = {
    "a deadline": (
        lambda d, v: d.predict(ROW, deadline_ms=v), NUMBERLESS, "deadline_ms: expected millisec"),
    "a deadline in a stream": (
        lambda d, v: d.stream().predict(ROW, deadline_ms=v), NUMBERLESS, "deadline_ms: expected"),
    "a unit": (lambda d, v: d.predict(ROW, unit=v), TEXTLESS, "unit: expected a text of 1 to 256"),
    "a unit of a batch": (
        lambda d, v: d.predict_batch(rows(3), unit=v), TEXTLESS, "unit: expected a text of 1 to"),
    "a unit of a ranking": (
        lambda d, v: d.predict_ranking(ROW, unit=v), TEXTLESS, "unit: expected a text of 1 to"),
    "an input": (
        lambda d, v: d.predict(v), [None, True, "a", b"x", 0, NAN, [], {}, Odd(), [None] * 4], ""),
    "an input of a batch": (
        lambda d, v: d.predict_batch(v), [None, True, "a", b"x", 0, [], {}, Odd(), [[1]]], ""),
    "an input to explain": (
        lambda d, v: d.explain(v), [None, True, "a", b"x", 0, [], {}, Odd()], "expected"),
    "a scale": (
        lambda d, v: d.explain(ROW, scale=v), [None, 1, "odds", [], ROW, Odd()], "scale: expected"),
    "an entity": (
        lambda d, v: d.predict({}, entity=v), ["a", 1, b"x"], "this device has no batch features"),
    "candidates": (
        lambda d, v: d.predict_ranking(rows(2), candidates=v), [*LISTLESS, {1, 2}], "candidates: "),
    "a length": (
        lambda d, v: d.predict_ranking(ROW, length=v),
        [True, "1", 0, -1, 1.5, NAN, [], Odd(), np.int64(0)], "length: expected at least 1"),
    "an id": (
        lambda d, v: d.feedback(v, label=1), [None, 1, "", "a", b"x", [], Odd(), "local.9-1"],
        "expected the id of a recent prediction"),
    "a label": (
        lambda d, v: d.feedback(d.predict(ROW).id, label=v),
        [3, -1, "0", NAN, INFINITY, 10**400, [], [1], {}, Odd(), ROW, ROW[:0], 1j], "expected"),
    "a reward": (
        lambda d, v: d.feedback(d.predict(ROW).id, reward=v),
        ["1", b"1", NAN, -INFINITY, 1e51, 10**400, [], {}, Odd(), 1j], "finite number as reward"),
    "clicks": (
        lambda d, v: d.feedback(d.predict_ranking(ROW).id, clicks=v), LISTLESS, "clicks: expected"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_a_call_cannot_take_is_refused_and_counted(device: EdgeDevice, what: str) -> None:
    call, values, message = REFUSED[what]
    for value in values:
        with pytest.raises(InputError) as refusal:
            call(device, value)
        assert message in str(refusal.value)
        assert len(str(refusal.value)) < 250, "short enough to read"
    if what not in ("an input to explain", "a scale"):  # which count nothing
        (report,) = (body for body in device.reports() if isinstance(body, WindowReport))
        assert sum(report.errors.values()) == len(values)


GROUPS = (GroupColumn("sex", values=("f", "m")), GroupColumn("age", edges=(30.0,)))
GROUPED: dict[str, tuple[Callable[[EdgeDevice, Any], object], list[Any]]] = {
    "groups": (lambda d, v: d.predict(ROW, groups=v), [True, "f", 0, [], ["sex"], Odd()]),
    "a group": (
        lambda d, v: d.predict(ROW, groups={"sex": v}), [["f"], ("f",), {}, Odd(), ROW]),
    "a number": (
        lambda d, v: d.predict(ROW, groups={"age": v}),
        ["old", 10**400, np.datetime64("2020"), [30], Odd()]),
    "groups of a batch": (
        lambda d, v: d.predict_batch(rows(3), groups={"sex": v}),
        ["fmm", ["f"], np.array("f"), {"f"}, 3, Odd(), [["f"]] * 3]),
}  # fmt: skip


@pytest.mark.parametrize("what", GROUPED)
def test_groups_that_are_none_are_refused_and_counted(tmp_path: Path, what: str) -> None:
    call, values = GROUPED[what]
    with EdgeDevice.offline(make_release(tmp_path, groups=GROUPS).folder) as device:
        for value in values:
            with pytest.raises(InputError, match="groups?"):
                call(device, value)
        (report,) = (body for body in device.reports() if isinstance(body, WindowReport))
        assert sum(report.errors.values()) == len(values)


def test_what_a_call_can_take_comes_in_many_forms(device: EdgeDevice) -> None:
    for deadline in (0, 1, 2.5, np.float32(3), np.int64(4), 3_600_000, None):
        assert device.predict(ROW, deadline_ms=deadline).source == "model"  # type: ignore[arg-type]
    for length in (1, 2, 10**30, np.int64(3), None):
        assert device.predict_ranking(ROW, length=length).items  # type: ignore[arg-type]
    for label in (1, np.int64(1), np.uint8(1), np.float32(1)):
        device.feedback(device.predict(ROW).id, label=label)  # type: ignore[arg-type]
    for reward in (1, True, 1.5, np.float16(1), np.array(2.0), -1e50):
        device.feedback(device.predict(ROW).id, reward=reward)  # type: ignore[arg-type]
    for clicks in ([], (), [1], {1, 2}, np.array([0, 2]), range(3), iter([1])):
        device.feedback(device.predict_ranking(ROW).id, clicks=clicks)  # type: ignore[arg-type]
    reports = [body for body in device.reports() if isinstance(body, FeedbackReport)]
    assert sum(report.labelled for report in reports) == 4
    assert sum(report.rewards for report in reports) == 6 + 7


def test_errors_too_large_to_be_summed_are_left_out() -> None:
    outcomes = LabelOutcomes()
    for answer, label in (
        *((NAN, 1.0), (INFINITY, 1.0), (1e300, -1e300), (2.0, 1e36)),
        *((2.0, 1e35), (2.0, 1.0)),
    ):
        join(outcomes, "model", answer, None, label)
    assert (outcomes.measured, outcomes.error_sum) == (2, pytest.approx(1e35))
    assert outcomes.error_fourths < LARGEST_SUM


def test_a_batch_is_indexed_like_a_list(device: EdgeDevice) -> None:
    batch = device.predict_batch(rows(3))
    assert [batch[i].label for i in (0, np.int64(1), -1)] == [p.label for p in batch]
    for index in (3, -4, 10**30):
        with pytest.raises(IndexError, match="expected an index below 3"):
            batch[index]
    for other in (None, "a", 1.5, [], slice(2), ROW):
        with pytest.raises(TypeError):
            batch[other]  # type: ignore[index]


NO_PATHS = [True, b"x", 1, 1.5, [], {}, Odd(), "\ud800", "a\0b"]
OPENINGS: dict[str, tuple[type[EdgeError], str, list[Any]]] = {
    "folder": (ReleaseError, "expected a", [None, *NO_PATHS, "", "/nowhere", "x" * 5_000]),
    "pack": (PackError, "pack", [*NO_PATHS, "", "/nowhere", "x" * 5_000]),
    "features": (PackError, "pack", [*NO_PATHS, "", "/nowhere", "x" * 5_000]),
    "shadow": (ReleaseError, "expected a", [*NO_PATHS, "", "/nowhere"]),
    "interleave": (ReleaseError, "expected a", [*NO_PATHS, "", "/nowhere"]),
    "config": (InputError, "config: expected a DeviceConfig", [None, {}, 1, DeviceConfig]),
}


@pytest.mark.parametrize("argument", OPENINGS)
def test_an_offline_device_is_opened_with_what_it_can_use_or_not_at_all(
    folder: Path, argument: str
) -> None:
    error, message, values = OPENINGS[argument]
    for value in values:
        with pytest.raises(error, match=message):
            EdgeDevice.offline(**{"folder": folder, argument: value})


JOINING: dict[str, tuple[type[EdgeError], str, list[Any]]] = {
    "state": (StateError, "expected a path|cannot use it", [None, *NO_PATHS, "/proc/none"]),
    "hub": (HubError, "hub: expected a URL", [None, 1, "", "hub:8000", "ftp://hub", b"http://hub"]),
    "token": (StateError, "token", [None, 1, "", b"t", [], "é", "a\nb"]),
    "model": (EdgeError, "model", [1, "", b"m", [], "Bad Name", "x" * 100]),
    "attributes": (EdgeError, "attributes", [1, "a", [], [1], {"a": 1}, {1: "a"}, {"A b": "c"}]),
    "share": (InputError, "share: expected True or False", [None, "no", 0, 1]),
    "root": (TrustError, "expected the bytes of a root.json", [1, "{}", b"", b"{}", b"\xff", []]),
    "verify": (
        HubError,
        "verify: expected a path|found none",
        [None, 1, b"x", "/none", "x" * 5_000],
    ),
    "config": (InputError, "config: expected a DeviceConfig", [None, {}, "x"]),
}


@pytest.mark.parametrize("argument", JOINING)
def test_a_device_joins_with_what_it_can_use_or_asks_nobody(tmp_path: Path, argument: str) -> None:
    nobody = "http://127.0.0.1:9"  # whoever asks there gets HubUnreachable
    given = {"state": tmp_path / "state", "hub": nobody, "token": "t", "model": "demo"}
    error, message, values = JOINING[argument]
    for value in values:
        with pytest.raises(error, match=message) as refusal:
            EdgeDevice(**{**given, argument: value})
        assert "no answer" not in str(refusal.value)


def test_a_hub_that_is_away_is_said_in_one_short_sentence(tmp_path: Path) -> None:
    with pytest.raises(HubError) as refusal:
        EdgeDevice(tmp_path, hub="http://127.0.0.1:9/", token="t", model="demo")
    assert str(refusal.value) == "http://127.0.0.1:9/v1/enrol: no answer; Connection refused"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"sync_seconds": 0}, "sync_seconds: expected more than 0, got 0"),
        ({"fold_seconds": -1.0}, "fold_seconds: expected more than 0"),
        ({"retry_seconds": NAN}, "retry_seconds: expected more than 0, got nan"),
        ({"heartbeat_seconds": INFINITY}, "heartbeat_seconds: expected more than 0, got inf"),
        ({"request_seconds": "a"}, "request_seconds: expected a number, got 'a'"),
        ({"request_seconds": None}, "request_seconds: expected a number"),
        ({"trial_seconds": True}, "trial_seconds: expected a number"),
        ({"threads": 0}, "threads: expected at least 1"),
        ({"threads": 1.5}, "threads: expected an integer"),
        ({"kept_predictions": -1}, "kept_predictions: expected at least 0"),
        ({"outbox_bytes": -1}, "outbox_bytes: expected at least 1"),
        ({"shadow_share": 0}, "shadow_share: expected more than 0 and at most 1"),
        ({"shadow_share": 1.1}, "shadow_share: expected more than 0 and at most 1"),
        ({"monitoring": "no"}, "monitoring: expected True or False"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        DeviceConfig(**value)
    assert DeviceConfig(kept_predictions=0, sync_seconds=1, shadow_share=1).sync_seconds == 1


def test_a_closed_device_says_so(folder: Path) -> None:
    device = EdgeDevice.offline(folder)
    device.close()
    device.close()
    for call in (device.predict, device.predict_ranking, device.explain, device.stream().predict):
        with pytest.raises(ReleaseError, match="nothing serves: this device is closed"):
            call(ROW)
    assert repr(device) == "<EdgeDevice demo without a release, offline>"


def test_what_a_person_sees_in_a_shell_is_short(device: EdgeDevice, folder: Path) -> None:
    p, batch = device.predict(ROW), device.predict_batch(rows(1_000))
    ranking = device.predict_ranking(ROW)
    release = device._service.current().release
    assert repr(device) == "<EdgeDevice demo 1.0, offline>"
    assert repr(release) == f"<Release demo 1.0 in {folder}>"
    assert (
        repr(p) == f"<Prediction {p.label} confidence={p.confidence:.3f} from model 1.0 id={p.id}>"
    )
    assert repr(batch).startswith("<BatchPrediction of 1000: [")
    assert repr(batch).endswith(", ...] from model 1.0>")
    assert repr(ranking) == f"<Ranking {ranking.items} from 1.0 id={ranking.id}>"
    assert all(len(repr(shown)) < 200 for shown in (p, batch, ranking, release.golden()))
