"""What a device says of itself: events, its health file, its status in words."""

from __future__ import annotations

import datetime
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from edge_sdk.cli.main import main
from edge_sdk.config import DeviceConfig
from edge_sdk.device import EdgeDevice
from edge_sdk.errors import InputError, StateError
from edge_sdk.fleet.health_file import read_health, verdict
from edge_sdk.fleet.local_events import QUEUE, ConditionWatch, LocalEvent, LocalEvents
from edge_sdk.fleet.status_words import in_words, of_model
from edge_sdk.system.windows import parse_windows
from edge_sdk.update.admission import window_state
from tests.clock import Clock
from tests.edge.builders import make_release
from tests.waiting import PATIENCE, wait_for

UTC = datetime.UTC


def at(text: str) -> float:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("windows", "now", "expected"),
    [
        ((), "2026-03-02 12:00:00", None),
        (("22:00-06:00",), "2026-03-02 23:30:10", (True, "2026-03-03 06:00:00")),
        (("22:00-06:00",), "2026-03-02 12:00:10", (False, "2026-03-02 22:00:00")),
        # Two that touch are one for people.
        (("22:00-24:00", "00:00-02:00"), "2026-03-02 23:00:00", (True, "2026-03-03 02:00:00")),
        (("mon-sun 00:00-24:00",), "2026-03-02 12:00:00", (True, "2026-03-09 12:00:00")),
    ],
)
def test_the_window_says_whether_it_is_open_and_until_when(
    windows: tuple[str, ...], now: str, expected: tuple[bool, str] | None
) -> None:
    state = window_state(parse_windows(windows), at(now), UTC)
    if expected is None:
        assert state is None
    else:
        assert state is not None
        assert state["open"] == expected[0]
        assert state["until"] - at(expected[1]) < 86_400 if "sun" in windows[0] else True
        assert "sun" in windows[0] or state["until"] == at(expected[1])


def test_a_callback_gets_events_in_order_until_it_is_cancelled() -> None:
    events, got = LocalEvents(Clock(5.0)), list[LocalEvent]()
    events.emit("updated", "release", "before anybody listened", "demo", "1.0")
    cancel = events.subscribe(got.append)
    for i in range(3):
        events.emit("degraded", "hub", str(i))
    wait_for(lambda: len(got) == 3, "three events")
    cancel()
    events.emit("back", "hub", "later")
    events.close(PATIENCE)
    assert [event.text for event in got] == ["0", "1", "2"]
    assert got[0] == LocalEvent("degraded", "hub", "0", 5.0)
    assert [e.text for e in events.latest] == ["before anybody listened", "0", "1", "2", "later"]


def test_a_callback_that_raises_or_hangs_holds_nobody_up_and_losses_are_counted() -> None:
    events, got, go_on = LocalEvents(Clock()), list[str](), threading.Event()

    def bad(event: LocalEvent) -> None:
        go_on.wait(PATIENCE)
        raise RuntimeError("of the application")

    events.subscribe(bad)
    events.subscribe(lambda event: got.append(event.text))
    events.emit("degraded", "hub", "first")
    started = time.monotonic()
    for i in range(QUEUE + 20):
        events.emit("degraded", "hub", str(i))
    assert time.monotonic() - started < 30  # it did not wait for the callback
    assert events.lost in (19, 20, 21)  # the first may still be in the queue
    go_on.set()
    events.close(PATIENCE)
    assert got[-1] == str(QUEUE + 19)


def test_a_callback_that_ends_its_thread_does_not_end_that_of_the_events() -> None:
    events, got = LocalEvents(Clock()), list[str]()
    events.subscribe(lambda event: sys.exit(event.text))
    events.subscribe(lambda event: got.append(event.text))
    for text in ("first", "second"):
        events.emit("degraded", "hub", text)
    events.close(PATIENCE)
    assert got == ["first", "second"]


def test_a_callback_may_ask_sync_listen_and_close(tmp_path: Path) -> None:
    release, did = make_release(tmp_path), list[object]()
    with EdgeDevice.offline(release.folder) as device:

        def use(event: LocalEvent) -> None:
            cancel = device.on_event(print)
            did.append(device.predict([1, 2, 3, 4]).version)
            did.append(device.status()["events"][-1]["text"] == event.text)
            cancel()
            device.close()
            did.append("closed")

        device.on_event(use)
        device._watch.events.emit("degraded", "hub", "away")
        wait_for(lambda: did == ["1.0", True, "closed"], "all of it")


def test_looks_of_two_threads_at_once_are_one(tmp_path: Path) -> None:
    """The thread that syncs looks, too: both wrote the file, and what got worse came twice."""
    path = tmp_path / "health.json"
    config = DeviceConfig(health_file=str(path), health_seconds=1e-6)
    folder = make_release(tmp_path).folder
    with EdgeDevice.offline(folder, config=config, background=False) as device:
        watch, begun, go_on = device._watch, threading.Event(), threading.Event()

        def slow() -> bool:
            begun.set()
            return go_on.wait(PATIENCE)

        watch.thrift.ask(slow, None)
        looking = threading.Thread(target=watch.look)
        looking.start()
        assert begun.wait(PATIENCE)
        watch.look()
        assert not path.exists()
        go_on.set()
        looking.join()
        assert read_health(path).ok
        watch.say_closed(PATIENCE)
        watch.look()
        assert read_health(path).words[0] == "The device is closed."


def test_a_callback_that_is_no_function_is_refused() -> None:
    with pytest.raises(InputError, match="on_event: expected a function, got 3"):
        LocalEvents(Clock()).subscribe(3)  # type: ignore[arg-type]


def test_what_got_worse_and_what_is_over_come_in_pairs() -> None:
    events = LocalEvents(Clock())
    watch = ConditionWatch(events)
    hub, disk = ("hub", None), ("disk", None)
    for now in ({}, {hub: "away"}, {hub: "away, still"}, {disk: "full"}, {}, {}):
        watch.look(now)
    told = [(event.kind, event.subject) for event in events.latest]
    assert sorted(told[1:3]) == [("back", "hub"), ("degraded", "disk")]
    assert (told[0], told[3], len(told)) == (("degraded", "hub"), ("back", "disk"), 4)


def test_what_got_worse_with_one_model_is_over_with_that_one() -> None:
    events = LocalEvents(Clock())
    watch = ConditionWatch(events)
    eyes, ears = ("files", "eyes"), ("files", "ears")
    for now in ({eyes: "eyes damaged", ears: "ears damaged"}, {ears: "ears damaged"}, {}):
        watch.look(now)
    told = [(event.kind, event.model) for event in events.latest]
    assert sorted(told[:2]) == [("degraded", "ears"), ("degraded", "eyes")]
    assert told[2:] == [("back", "eyes"), ("back", "ears")]
    assert events.latest[-1].text == "ears: the files are whole again"


def test_the_health_file_says_that_the_device_works_and_at_the_end_that_it_is_closed(
    tmp_path: Path,
) -> None:
    path = tmp_path / "health.json"
    config = DeviceConfig(health_file=str(path), health_seconds=0.1)
    with EdgeDevice.offline(make_release(tmp_path).folder, config=config):
        wait_for(path.exists, "the file")
        health = read_health(path)
        assert (health.ok, health.words) == (True, ("demo 1.0 serves (variant float32).",))
        assert verdict(health, health.at) is None
        assert "not written since 9 s" in str(verdict(health, health.at + 9))
        wait_for(lambda: read_health(path).at > health.at, "a newer one")
        assert main(["health", str(path)]) == 0
    assert read_health(path).words[0] == "The device is closed."
    assert main(["health", str(path)]) == 1
    assert [each.name for each in tmp_path.glob(".health*")] == []


def test_a_damaged_file_is_an_event_and_in_the_words(tmp_path: Path) -> None:
    release, got = make_release(tmp_path), list[LocalEvent]()
    with EdgeDevice.offline(release.folder) as device:
        device.on_event(got.append)
        model = release.folder / "model.onnx"
        model.write_bytes(model.read_bytes()[:-1] + b"?")
        wait_for(lambda: got, "an event")
        words = device.status()["words"]
    assert (got[0].kind, got[0].subject, got[0].model) == ("degraded", "files", "demo")
    assert "model.onnx" in got[0].text
    assert words[1].startswith("Damaged on the disk, of demo 1.0: ")


def test_the_health_file_is_of_all_models_and_words_are_of_each(tmp_path: Path) -> None:
    path = tmp_path / "health.json"
    config = DeviceConfig(health_file=str(path), health_seconds=0.05)
    folders = [make_release(tmp_path, model=name).folder for name in ("eyes", "ears")]
    with EdgeDevice.offline(folders, config=config) as device:
        wait_for(path.exists, "the file")
        health = read_health(path)
        eyes = "eyes 1.0 serves (variant float32)."
        assert (health.ok, health.words) == (True, (eyes, eyes.replace("eyes", "ears")))
        assert device.model("eyes").status()["words"] == [eyes]
        device.model("ears")._service.serving = None
        wait_for(lambda: not read_health(path).ok, "the word that one serves nothing")
        assert read_health(path).words[1].startswith("Nothing of ears serves")
        wait_for(lambda: device.status()["events"], "the event")
        (event,) = device.status()["events"]
        assert (event["kind"], event["subject"], event["model"]) == ("degraded", "serving", "ears")


def test_a_device_opened_again_in_a_forked_child_leaves_the_health_file_to_its_parent(
    tmp_path: Path,
) -> None:
    path = tmp_path / "health.json"
    config = DeviceConfig(health_file=str(path), health_seconds=0.05)
    with EdgeDevice.offline(make_release(tmp_path).folder, config=config) as device:
        wait_for(path.exists, "the file")
        child = os.fork()
        if child == 0:
            device.predict([1, 2, 3, 4])
            time.sleep(0.5)
            device.close()
            os._exit(0)
        said = set()
        while os.waitpid(child, os.WNOHANG) == (0, 0):
            said.add((read_health(path).pid, read_health(path).words[0]))
            time.sleep(0.01)
    assert said == {(os.getpid(), "demo 1.0 serves (variant float32).")}


@pytest.mark.parametrize("place", ["no/such", "/"])
def test_a_disk_that_takes_no_health_file_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, place: str
) -> None:
    config = DeviceConfig(health_file=str(tmp_path / place), health_seconds=0.01)
    with EdgeDevice.offline(make_release(tmp_path).folder, config=config) as device:
        wait_for(lambda: "health file" in caplog.text, "the warning")
        assert device.predict([1, 2, 3, 4]).version == "1.0"
    assert caplog.text.count("health file") == 1


ENDLESS = b'{"words": [], "at": 1, "fresh_until": 1, "pid": 1e999, "ok": true, "status": {}}'


@pytest.mark.parametrize(
    "raw", [b"", b"{}", b"[1]", b'{"ok": 1}', b"\xff", b"[" * 100_000, ENDLESS]
)
def test_a_file_that_is_no_health_file_is_refused_in_words(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "health.json"
    path.write_bytes(raw)
    with pytest.raises(StateError, match="expected the health file"):
        read_health(path)


def test_edge_health_prints_words_or_json(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "health.json"
    config = DeviceConfig(health_file=str(path), health_seconds=60.0)
    with EdgeDevice.offline(make_release(tmp_path).folder, config=config):
        wait_for(path.exists, "the file")
        assert main(["health", str(path), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["ok"] is True
        assert main(["health", str(path)]) == 0
        assert capsys.readouterr().out.splitlines()[0] == "well"
    assert main(["health", str(tmp_path / "none.json")]) == 1


ONLINE = {
    "name": "demo", "version": "1.0", "variant": "float32", "offline": False,
    "hub_answered": 1_000.0, "waiting": 0, "phase": "idle",
}  # fmt: skip
NOW = 1_000.0 + 3 * 3_600


WORDS: dict[str, tuple[dict[str, Any], str]] = {
    "an answer": ({}, "The hub last answered 3 hours ago."),
    "no answer": ({"hub_away": "no route"}, "The hub is away (no route); it last answered 3 hours"),
    "never": ({"hub_answered": None}, "The hub last answered never."),
    "a refusal": ({"refused": "revoked"}, "The hub refuses this device: revoked."),
    "messages": ({"waiting": 2}, "2 messages wait for the hub."),
    "one message": ({"waiting": 1}, "1 message waits for the hub."),
    "a wait": (
        {"update_waits": {"version": "1.1", "step": "download", "reason": "metered", "until": NOW}},
        "The update of demo to 1.1 waits at download for a network that does not cost, until ",
    ),
    "a wait without end": (
        {
            "update_waits": {
                "version": "1.1",
                "step": "download",
                "reason": "metered",
                "until": 1e99,
            }
        },
        "The update of demo to 1.1 waits at download for a network that does not cost, until the ",
    ),
    "a window": ({"window": {"open": False, "until": NOW}}, "The window for updates is closed"),
    "a failure": (
        {"failures": {"a" * 64: "probe: golden vector 3 differs"}},
        "Release aaaaaaaaaaaa of demo was refused here: probe: golden vector 3 differs.",
    ),
    "a step": ({"phase": "probe"}, "An update of demo is under way: probe."),
    "memory": (
        {"storage": {"state": "memory", "reason": "no space"}},
        "The disk takes nothing, the state is in memory: no space.",
    ),
    "columns": (
        {"ignored": ["user"]},
        "Columns that are no features of demo are left out: user.",
    ),
    "nothing": (
        {"version": None, "lost": "it is damaged"},
        "Nothing of demo serves: it is damaged.",
    ),
    "an arm": (
        {"experiment": "e", "arm": "b", "beside": {"c": "2.0"}},
        "demo 1.0 serves (variant float32) as arm b of e; beside it c (2.0).",
    ),
}


@pytest.mark.parametrize("case", WORDS)
def test_the_status_says_in_words(case: str) -> None:
    more, expected = WORDS[case]
    status = {**ONLINE, **more}
    words = in_words({**status, "models": {"demo": {"words": of_model(status)}}}, NOW)
    assert sum(word.startswith(expected) for word in words) == 1
