"""Sessions of a device: their bounds, their end, what the disk keeps, what is forgotten."""

from __future__ import annotations

import threading
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.contract.personal.session_features import SessionFeatures
from edge_sdk.errors import StateError
from edge_sdk.sessions import kept_sessions
from edge_sdk.sessions.opening import opened_sessions
from edge_sdk.sessions.session_file import SESSIONS_FILE, remove_sessions
from edge_sdk.sessions.session_store import SessionStore
from tests.clock import Clock
from tests.edge.sessions.declared import EVERY_KIND, IDLE, VISIT, feature, of

SECRET = b"s" * 32
KEPT = replace(VISIT, kept=True)


def count(store: SessionStore, unit: str) -> int:
    return int(store.values(unit)[0]["f0"])


OPENED: list[SessionStore] = []


def opened(folder: Path, clock: Clock, declared: SessionFeatures = KEPT) -> SessionStore:
    OPENED.append(opened_sessions(declared, clock, folder, SECRET))
    return OPENED[-1]


@pytest.fixture(autouse=True)
def closed_in_the_end() -> Iterator[None]:
    """Newer Pythons warn of a database that nobody closed, in whichever test runs by then."""
    yield
    while OPENED:
        OPENED.pop().close()


def test_a_session_is_over_when_nothing_came_for_long_and_the_next_event_begins_another() -> None:
    clock = Clock(1_000.0)
    store = SessionStore(VISIT, clock)
    store.event("u", {"price": 2.0})
    clock.now += IDLE
    assert store.values("u") == ({"f0": 1, "f1": 2.0, "f2": IDLE}, True)
    clock.now += 1
    assert store.values("u") == ({"f0": 0, "f1": 0, "f2": -1}, False)
    assert not store.lives("u")
    store.event("u", {"price": 5.0})
    assert store.values("u") == ({"f0": 1, "f1": 5.0, "f2": 0.0}, True)


def test_idle_sessions_go_from_memory() -> None:
    clock = Clock(1_000.0)
    store = SessionStore(VISIT, clock)
    for unit in "abc":
        store.event(unit, {})
    clock.now += IDLE / 2
    store.event("a", {})
    clock.now += IDLE / 2 + 1
    store.step()
    status = store.status()
    assert (status["sessions"], status["ended"], status["dropped"]) == (1, 2, 0)
    assert count(store, "a") == 2


def test_the_least_recently_used_goes_beyond_the_number_of_sessions() -> None:
    store = SessionStore(replace(VISIT, sessions=3), Clock())
    for unit in "abc":
        store.event(unit, {})
    store.values("a")  # a prediction is a use
    store.event("d", {})
    assert [store.lives(unit) for unit in "abcd"] == [True, False, True, True]
    assert store.status()["dropped"] == 1


def test_a_million_units_from_one_loop_stay_within_the_declared_memory() -> None:
    declared = replace(EVERY_KIND, sessions=1_000_000, memory_bytes=2_000_000)
    store = SessionStore(declared, Clock())
    event = {"item": "ø" * 50, "price": 3.0, "places": 2, "paid": True}
    for i in range(300):  # whatever is made once
        store.event(f"warm {i}", event)
    tracemalloc.start()
    try:
        for i in range(20_000):
            store.event(f"user {i}", event)
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    status = store.status()
    assert status["bytes"] <= declared.memory_bytes
    assert used <= 1.1 * declared.memory_bytes
    assert status["sessions"] > 200
    assert status["dropped"] + status["sessions"] == 20_300


def test_one_session_that_is_larger_than_all_room_stays_alone() -> None:
    large = feature("n", "int64", "distinct", field="item", most=1_024)
    store = SessionStore(of(large, memory_bytes=100_000), Clock())
    store.event("small", {"item": "a"})
    for i in range(1_024):
        store.event("large", {"item": f"{i}" + "x" * 190})
    assert store.status()["sessions"] == 1
    assert store.values("large")[0]["n"] == 1_024


@given(st.text(min_size=1, max_size=256).filter(lambda t: t.isprintable() or "\x00" in t))
def test_a_unit_may_have_any_name(unit: str) -> None:
    store = SessionStore(VISIT, Clock())
    store.event(unit, {})
    assert count(store, unit) == 1
    assert store.forget(unit)
    assert not store.forget(unit)
    assert store.status()["bytes"] == 0


def test_two_threads_on_one_session_lose_no_event() -> None:
    store = SessionStore(VISIT, Clock())
    threads = [
        threading.Thread(target=lambda: [store.event("u", {"price": 1.0}) for _ in range(5_000)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        row, _ = store.values("u")
        assert row["f1"] in (0, 1.0)
    assert count(store, "u") == 20_000


def test_sessions_that_are_declared_so_outlive_a_restart_and_others_do_not(tmp_path: Path) -> None:
    clock = Clock()
    for declared, left in ((KEPT, 2), (VISIT, 0)):
        store = opened(tmp_path, clock, declared)
        store.event("u", {"price": 4.0})
        store.event("u", {"price": 4.0})
        store.close()
        again = opened(tmp_path, clock, declared)
        assert count(again, "u") == left
        again.forget("u")
        again.close()


def test_a_kill_takes_what_came_since_the_last_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    store = opened(tmp_path, clock)
    store.event("u", {})
    store.step()
    assert count(opened(tmp_path, clock), "u") == 0  # not due yet
    monkeypatch.setattr(kept_sessions, "SAVE_SECONDS", 0.0)
    store.step()
    store.event("u", {})
    assert count(opened(tmp_path, clock), "u") == 1


def test_what_ended_or_was_dropped_does_not_come_back_from_the_disk(tmp_path: Path) -> None:
    clock = Clock()
    declared = replace(KEPT, sessions=2)
    store = opened(tmp_path, clock, declared)
    for unit in ("ended", "dropped"):
        store.event(unit, {})
    store.save()
    assert store.end("ended")
    assert not store.end("ended")
    store.event("new", {})
    store.event("newer", {})
    assert [store.lives(u) for u in ("ended", "dropped", "new", "newer")] == [
        False,
        False,
        True,
        True,
    ]
    store.close()
    again = opened(tmp_path, clock, declared)
    assert [again.lives(u) for u in ("ended", "dropped", "new", "newer")] == [
        False,
        False,
        True,
        True,
    ]


def test_a_forgotten_unit_is_nowhere_on_the_disk(tmp_path: Path) -> None:
    clock, word = Clock(), "rarest-of-words"
    declared = replace(
        KEPT, features=(*KEPT.features, feature("item", "string", "last", field="item"))
    )
    store = opened(tmp_path, clock, declared)
    for unit in ("user-42", "other"):
        store.event(unit, {"item": word if unit == "user-42" else "b"})
    store.save()
    assert any(word.encode() in file.read_bytes() for file in tmp_path.iterdir())
    assert store.forget("user-42")
    assert not store.forget("user-42")
    for file in tmp_path.iterdir():
        raw = file.read_bytes()
        assert word.encode() not in raw
        assert b"user-42" not in raw
    assert (store.lives("user-42"), store.lives("other")) == (False, True)
    store.close()
    assert not opened(tmp_path, clock, declared).lives("user-42")


def test_an_earlier_start_s_session_that_nobody_used_is_forgotten_too(tmp_path: Path) -> None:
    clock = Clock()
    store = opened(tmp_path, clock)
    store.event("u", {})
    store.close()
    again = opened(tmp_path, clock)
    assert again.forget("u")
    assert not again.lives("u")


def test_another_declaration_begins_anew_and_another_version_of_the_same_goes_on(
    tmp_path: Path,
) -> None:
    clock = Clock()
    store = opened(tmp_path, clock)
    store.event("u", {})
    store.save()
    other = opened(tmp_path, clock, replace(KEPT, version=2, sessions=50))
    assert other.adopt(store)
    assert count(other, "u") == 1
    other.event("u", {})
    other.close()
    changed = replace(KEPT, features=KEPT.features[:1])
    anew = opened(tmp_path, clock, changed)
    assert not anew.adopt(other)
    assert not anew.lives("u")
    anew.close()
    remove_sessions(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_session_that_another_store_took_over_is_not_seen_again_once_it_ended(
    tmp_path: Path,
) -> None:
    clock = Clock()
    store = opened(tmp_path, clock)
    store.event("ended later", {})
    store.event("ended before", {})
    store.save()
    store.end("ended before")
    other = opened(tmp_path, clock, replace(KEPT, version=2, sessions=50))
    assert other.adopt(store)
    assert not other.lives("ended before")
    assert other.end("ended later")
    assert not other.lives("ended later")
    store.close()
    other.close()
    again = opened(tmp_path, clock)
    assert not again.lives("ended later")
    assert not again.lives("ended before")
    again.close()


def test_sessions_that_are_looked_up_on_the_disk_stay_within_the_declared_memory(
    tmp_path: Path,
) -> None:
    clock = Clock()
    store = opened(tmp_path, clock, replace(KEPT, sessions=100))
    for i in range(100):
        store.event(f"u{i}", {})
    store.close()
    again = opened(tmp_path, clock, replace(KEPT, sessions=10))
    for i in range(100):
        assert count(again, f"u{i}") == 1
    assert again.status()["sessions"] == 10
    again.close()


def test_a_damaged_file_costs_the_sessions_and_nothing_else(tmp_path: Path) -> None:
    clock = Clock()
    store = opened(tmp_path, clock)
    store.event("u", {})
    store.close()
    file = tmp_path / SESSIONS_FILE
    file.write_bytes(b"no database" * 1_000)
    again = opened(tmp_path, clock)
    again.event("u", {})
    assert count(again, "u") == 1
    again.save()
    again.close()


def test_a_disk_that_takes_nothing_costs_no_event(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = opened(tmp_path / "file" / "folder", Clock())
    store.event("u", {})
    store.save()
    assert (count(store, "u"), store.status()["kept"]) == (1, False)
    store.close()


def test_forgetting_says_where_the_disk_does_not_take_it(tmp_path: Path) -> None:
    store = opened(tmp_path, Clock())
    store.event("u", {})
    store.save()
    kept: Any = store._kept
    kept.close()
    with pytest.raises(StateError, match="call forget again"):
        store.forget("u")
    assert not store.lives("u")


def test_an_event_waits_for_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened(tmp_path, Clock())
    store.event("u", {})
    kept: Any = store._kept
    begun, go_on = threading.Event(), threading.Event()

    def slow(*_: Any) -> bool:
        begun.set()
        return go_on.wait(60)

    monkeypatch.setattr(kept, "save", slow)
    saving = threading.Thread(target=store.save)
    saving.start()
    try:
        assert begun.wait(60)
        started = time.monotonic()
        store.event("u", {})
        assert count(store, "u") == 2
        assert time.monotonic() - started < 30
    finally:
        go_on.set()
        saving.join()


def test_a_session_that_ends_again_while_it_is_written_is_gone_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(tmp_path, Clock())
    store.event("u", {})
    store.save()
    store.end("u")
    store.event("u", {})
    kept: Any = store._kept
    real = kept.save

    def ended_meanwhile(*arguments: Any) -> bool:
        done: bool = real(*arguments)
        store.end("u")
        return done

    monkeypatch.setattr(kept, "save", ended_meanwhile)
    store.save()
    monkeypatch.setattr(kept, "save", real)
    assert not store.lives("u")
    store.save()
    assert not store.lives("u")


def test_what_the_disk_did_not_take_is_written_when_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    store = opened(tmp_path, clock)
    for unit in ("stays", "ends"):
        store.event(unit, {})
    store.save()
    store.event("stays", {})
    store.end("ends")
    kept: Any = store._kept
    real = kept.save
    monkeypatch.setattr(kept, "save", lambda *_: False)
    store.save()
    assert not store.lives("ends")
    monkeypatch.setattr(kept, "save", real)
    store.close()
    again = opened(tmp_path, clock)
    assert (count(again, "stays"), again.lives("ends")) == (2, False)
