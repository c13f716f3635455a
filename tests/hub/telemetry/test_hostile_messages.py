"""One bad message: it is refused with its reason, its neighbours count, the hub goes on.

Each case made a 500 on every upload that held it, or broke what reads it later, for the whole
model.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cloud_hub.experiments.claims import DeviceClaims
from cloud_hub.hub import Hub
from edge_sdk.contract.codec import decode, to_plain
from edge_sdk.contract.experiment_reports import Moments, ShadowReport
from edge_sdk.contract.messages import (
    FeedbackReport,
    KeyVotes,
    SampleBatch,
    UpdateEvent,
    UploadReply,
    WindowReport,
)
from edge_sdk.contract.window import Window
from tests.campaigns.fuzzing.hub_under_fire import DAY, UnderFire, hub_under_fire
from tests.campaigns.fuzzing.in_process import Answered, Asked
from tests.contract.examples import histogram_text
from tests.edge.builders import profile

NOW = int(time.time()) // 300 * 300
WINDOW = Window("demo", "1.0", NOW - 300, NOW)
BOOTS = itertools.count(1)
Ask = Callable[[bytes], Answered]
Change = Callable[[dict[str, Any]], object]


def report(hub: Hub) -> dict[str, Any]:
    features, outputs = (
        histogram_text(*((10, *[0] * (f.bins + 1)) for f in layout))
        for layout in (profile().features, profile().outputs)
    )
    digest = hub.registry.release("demo", "1.0").profile_digest
    made = WindowReport(WINDOW, digest, {"model": 10}, features, outputs, 10)
    return {"kind": "window", "body": to_plain(made)}


def body_of(kind: str, hub: Hub) -> dict[str, Any]:
    rows = ((1.0, 2.0, 3.0, 4.0),) * 2
    bodies = {
        "feedback": FeedbackReport(WINDOW, 5, 4, 5, 3, {}, 2, 1.0, 1.0),
        "samples": SampleBatch("demo", "1.0", rows, (0, 1), (NOW, NOW)),
        "votes": KeyVotes("demo", "1.0", NOW, ("aa" * 16,)),
        "event": UpdateEvent("demo", "failed", "1.0", NOW, None, "probe", "slow"),
        "shadow": ShadowReport(replace(WINDOW, arm="c", experiment="e"), "1.0", 9, 1, Moments(9)),
    }
    return report(hub) if kind == "window" else {"kind": kind, "body": to_plain(bodies[kind])}


def put(*path: Any, to: Any) -> Change:
    def change(message: dict[str, Any]) -> None:
        place: Any = message
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = to

    return change


def wrapping(message: dict[str, Any]) -> None:
    """Counts whose sum is 10 only because 64 bits are full."""
    sizes = [f.bins + 2 for f in profile().features]
    wrapped = [2**62 - 1] * 4 + [14]
    rows = [(*wrapped, *[0] * (size - 5)) for size in sizes]
    assert int(np.array(rows[0]).sum()) == 10
    message["body"]["features"] = histogram_text(*rows)


REFUSED: dict[str, tuple[str, Change, str]] = {
    "predictions of 2**62": (
        "window",
        put("body", "predictions", "model", to=2**62),
        "window.predictions.model: expected at most",
    ),
    "a count of 2**63": ("window", put("body", "degraded", to=2**63), "an integer of 64 bits"),
    "a count of 2**64 in a histogram": (
        "window",
        put("body", "latency", to={"model": [2**64] + [0] * 63}),
        "an integer of 64 bits",
    ),
    "counts that wrap around": ("window", wrapping, "expected each to add up to 10"),
    "a window before 1970": (
        "window",
        put("body", "window", to={**to_plain(WINDOW), "start": -600, "end": -300}),
        "window.start: expected 0 to",
    ),
    "a window after every calendar": (
        "feedback",
        put("body", "window", to={**to_plain(WINDOW), "start": 0, "end": 2**50}),
        "feedback.window.end: expected at most",
    ),
    "resources of ten thousand names": (
        "window",
        put("body", "resources", to={str(i): 1.0 for i in range(10_000)}),
        "expected at most 64",
    ),
    "an error kind of 5,000 characters": (
        "window",
        put("body", "errors", to={"x" * 5_000: 1}),
        "expected names of at most",
    ),
    "sums whose squares overflow": (
        "feedback",
        put("body", "reward_squares", to=1e300),
        "feedback.reward_squares: expected at most",
    ),
    "sums of no rewards": (
        "feedback",
        put("body", "rewards", to=0),
        "expected sums of 0 where there are none",
    ),
    "a total of a shadow that overflows": (
        "shadow",
        put("body", "value", to={"count": 1, "total": -1e200, "squares": 1.0}),
        "shadow.value.total: expected",
    ),
    "a lone surrogate": ("event", put("body", "reason", to="a\ud800"), "without a lone surrogate"),
    "a NUL in a text": ("event", put("body", "step", to="a\0b"), "text without NUL"),
    "a NUL in a name": ("window", put("body", "lost", to={"\0": 1}), "text without NUL"),
    "a reason of 5,000 characters": (
        "event",
        put("body", "reason", to="x" * 5_000),
        "reason: expected at most 1000",
    ),
    "an event of no version": ("event", put("body", "version", to="x" * 999), "expected a version"),
    "an event of the year 36812": ("event", put("body", "at", to=2**40), "event.at: expected 0 to"),
    "a row of another width": (
        "samples",
        put("body", "rows", 1, to=[1.0, 2.0]),
        "expected 4 values in each row, got [2, 4]",
    ),
    "a text in a row of numbers": (
        "samples",
        put("body", "rows", 0, 2, to="high"),
        "feature 'f2': expected a number",
    ),
    "a number beyond the column's": (
        "samples",
        put("body", "rows", 0, 1, to=1e300),
        "feature 'f1': expected float32",
    ),
    "a label that is no class": (
        "samples",
        put("body", "labels", 1, to=77),
        "expected one of 3 classes",
    ),
    "a label of another type": (
        "samples",
        put("body", "labels", 1, to="1"),
        "expected one of 3 classes",
    ),
    "a row of a version nobody published": (
        "samples",
        put("body", "version", to="9.9"),
        "9.9: not published",
    ),
    "a row of the future": (
        "samples",
        put("body", "taken", to=[NOW, NOW + 9_999]),
        "in the future",
    ),
    "a vote for another model's version": (
        "votes",
        put("body", "version", to="7.7"),
        "7.7: not published",
    ),
    "a body that is a list": ("window", put("body", to=[]), "body: expected an object"),
    "a kind that is a number": ("window", put("kind", to=3), "kind: expected a string"),
    "a sequence that is a text": (
        "window",
        put("sequence", to="1"),
        "sequence: expected an integer",
    ),
    "a sequence beyond 64 bits": ("window", put("sequence", to=2**63), "an integer of 64 bits"),
    "a boot of half a character": ("window", put("boot", to="\ud800"), "without a lone surrogate"),
    "a boot that is a path": ("window", put("boot", to="../../x"), "boot: expected 1 to 64"),
    "values nested 900 deep": (
        "event",
        put("body", "reason", to="@deep@"),
        "reason: expected",
    ),
}


@pytest.fixture(scope="module")
def fire(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[UnderFire]:
    """One hub for all cases, whose messages are told apart by their boot."""
    wanted = request.config.getoption("--postgres")
    database = request.getfixturevalue("cluster").database() if wanted else None
    with hub_under_fire(tmp_path_factory.mktemp("fire"), database) as fire:
        yield fire


@pytest.fixture
def serving(fire: UnderFire) -> Hub:
    return fire.hub


@pytest.fixture
def ask(fire: UnderFire) -> Ask:
    return lambda raw: fire.ask(Asked("device", "POST", "/v1/messages", body=raw))


def upload_of(*bodies: dict[str, Any]) -> list[dict[str, Any]]:
    boot = f"b{next(BOOTS)}"
    plain = json.loads(json.dumps(bodies))
    return [{"boot": boot, "sequence": i, **body} for i, body in enumerate(plain, 1)]


@pytest.mark.parametrize("case", REFUSED)
def test_a_hostile_message_is_refused_with_its_reason_and_the_others_count(
    serving: Hub, ask: Ask, case: str
) -> None:
    kind, change, reason = REFUSED[case]
    messages = upload_of(report(serving), body_of(kind, serving), report(serving))
    change(messages[1])
    raw = json.dumps({"messages": messages}).replace('"@deep@"', "[" * 900 + "]" * 900)
    answer = ask(raw.encode())
    reply = json.loads(answer.body)
    assert (answer.status, reply["accepted"], len(reply["rejected"])) == (200, 2, 1), reply
    assert reason in reply["rejected"][0]["reason"]
    # The device can read the reply, or it would send the same upload for ever.
    assert len(decode(UploadReply, answer.body, limit=1 << 20).rejected) == 1


@pytest.mark.parametrize("kind", ["window", "feedback", "samples", "votes", "event"])
def test_the_message_that_each_case_damages_is_a_good_one(
    serving: Hub, ask: Ask, kind: str
) -> None:
    messages = upload_of(body_of(kind, serving))
    reply = json.loads(ask(json.dumps({"messages": messages}).encode()).body)
    assert (reply["accepted"], reply.get("rejected", [])) == (1, [])


def test_the_largest_reports_that_are_taken_add_up(serving: Hub, ask: Ask) -> None:
    serving.registry.set_policy("demo", "reporting: {requests_per_second: 1000000000000}", "test")
    messages = upload_of(*[report(serving)] * 39)
    for message in messages:
        message["body"]["predictions"] = {"model": 2**40, "pack": 2**40}
    reply = json.loads(ask(json.dumps({"messages": messages}).encode()).body)
    assert reply["accepted"] == 39
    assert sum(serving.telemetry.predictions_by_device("demo").values()) >= 39 * 2**41


def test_a_message_that_cannot_be_stored_costs_no_other_one(
    serving: Hub, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last line of defence: something that no check foresaw."""
    record = DeviceClaims.record

    def failing(claims: DeviceClaims, body: Any) -> None:
        if isinstance(body, FeedbackReport):
            raise OverflowError("Python int too large to convert to SQLite INTEGER")
        record(claims, body)

    monkeypatch.setattr(DeviceClaims, "record", failing)
    messages = upload_of(report(serving), body_of("feedback", serving), report(serving))
    reply = json.loads(ask(json.dumps({"messages": messages}).encode()).body)
    assert reply["accepted"] == 2
    assert reply["rejected"][0]["reason"] == "the hub cannot store it; OverflowError"


WHOLE = {
    "no JSON": (b"{", "expected UTF-8 JSON"),
    "UTF-16": ('{"messages":[]}'.encode("utf-16"), "expected UTF-8 JSON"),
    "NaN": (b'{"messages":[NaN]}', "NaN is not a JSON number"),
    "nested beyond the parser": (b"[" * 200_000, "expected UTF-8 JSON"),
    "too many messages": (b'{"messages":[' + b"1," * 256 + b"1]}", "expected at most 256"),
    "no list": (b'{"messages":{}}', "Upload.messages: expected an array"),
}


@pytest.mark.parametrize("case", WHOLE)
def test_an_upload_whose_envelopes_cannot_be_read_is_refused_whole(ask: Ask, case: str) -> None:
    raw, reason = WHOLE[case]
    answer = ask(raw)
    assert (answer.status, reason in json.loads(answer.body)["error"]) == (422, True)


def test_after_all_of_them_every_part_of_the_loop_works_and_devices_are_served(
    fire: UnderFire,
) -> None:
    fire.hub.telemetry.windows("demo")
    for ahead in (0.0, 3_700.0, 3 * DAY):  # windows end, and are rolled up
        fire.tick(ahead)
    assert (fire.loop_errors, fire.good_device()) == ({}, [])
