"""What one thread does between two steps of another one: forgotten rows, fallen guards, batches."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sdk import EdgeDevice
from edge_sdk.errors import StateError
from edge_sdk.personalise.pending import Pending, WaitingBatch
from edge_sdk.personalise.units.unit_secret import secret_in
from edge_sdk.personalise.units.unit_space import HeldUnit
from edge_sdk.personalise.units.unit_store import UnitStore
from edge_sdk.sessions.session_store import SessionStore
from tests.clock import Clock
from tests.edge.personalise.test_personal_device import UNIT, Model, opened, state_of, teach
from tests.edge.personalise.test_unit_store import SECRET, Texts, tell
from tests.edge.personalise.unit_release import unit_rows
from tests.edge.sessions.declared import VISIT


def personal_of(device: EdgeDevice) -> Any:
    serving = device._service.serving
    assert serving is not None
    assert serving.personal is not None
    return serving.personal


def test_a_row_that_is_answered_while_its_unit_is_forgotten_does_not_wait_for_a_label(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path) as device:
        teach(device)
        personal, forget = personal_of(device), UnitStore.forget

        def slow(store: UnitStore, name: str) -> bool:
            device.predict(unit_rows(1)[0], unit=UNIT)  # before the store has forgotten it
            return forget(store, name)

        monkeypatch.setattr(UnitStore, "forget", slow)
        assert device.forget(UNIT)
        assert personal.status()["waiting"] == 0


def test_a_unit_that_begins_anew_while_it_is_forgotten_learns_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path) as device:
        teach(device)
        forget = UnitStore.forget

        def quick(store: UnitStore, name: str) -> bool:
            found = forget(store, name)
            device.predict(unit_rows(1)[0], unit=UNIT)  # the first of its new life
            return found

        monkeypatch.setattr(UnitStore, "forget", quick)
        assert device.forget(UNIT)
        teach(device, labels=3)
        assert state_of(device).labels == 3


def test_rows_that_wait_are_dropped_though_the_disk_refuses_to_forget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path) as device:
        teach(device)
        device.predict(unit_rows(1)[0], unit=UNIT)

        def refuse(store: UnitStore, name: str) -> bool:
            raise StateError("the disk takes nothing")

        monkeypatch.setattr(UnitStore, "forget", refuse)
        with pytest.raises(StateError):
            device.forget(UNIT)
        assert personal_of(device).status()["waiting"] == 0


def test_a_batch_that_is_kept_while_its_unit_is_forgotten_does_not_stay() -> None:
    pending = Pending(2, 2)

    unit = HeldUnit(b"k", "ann")

    class Slow(OrderedDict[int, WaitingBatch]):
        """Somebody forgets the unit, and what waits for it, just before its batch is kept."""

        def __setitem__(self, number: int, batch: WaitingBatch) -> None:
            unit.gone = True
            super().__setitem__(number, batch)

    pending._batches = Slow()
    zeros = np.zeros((3, 2), np.float32)
    pending.put_batch(7, WaitingBatch(unit, zeros, zeros, np.zeros(3, bool)))
    assert pending.take("7.0") is None


def test_batches_of_many_threads_stay_within_their_bound() -> None:
    pending, failures = Pending(2, 2), list[BaseException]()
    room, unit = len(pending.slots), HeldUnit(b"k", "ann")
    phi = np.zeros((room * 2 // 3, 2), np.float32)
    batch = WaitingBatch(unit, phi, np.zeros((len(phi), 2)), np.zeros(len(phi), bool))
    held = threading.Barrier(3)

    class Slow(OrderedDict[int, WaitingBatch]):
        """All threads have seen that there is too much before any of them drops a batch."""

        def popitem(self, last: bool = True) -> tuple[int, WaitingBatch]:
            with contextlib.suppress(threading.BrokenBarrierError):
                held.wait(0.2)
            return super().popitem(last)

    pending._batches = Slow()

    def put(number: int) -> None:
        try:
            pending.put_batch(number, batch)
        except KeyError as error:
            failures.append(error)

    threads = [threading.Thread(target=put, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [pending.take(f"{i}.0") is not None for i in range(3)].count(True) == 1


def test_a_guard_that_fell_just_after_another_label_let_it_serve_serves_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path) as device:
        teach(device)
        teach(device, "other")
        personal = personal_of(device)
        kind = personal._units.kind
        kind.guard.serving = False
        personal._units.refresh()
        rows = [device.predict(row, unit=UNIT) for row in unit_rows(2)]
        learn, change, falls = kind.learn, personal._units.change, iter((True, False))

        def learn_and_switch(*arguments: Any) -> Any:
            outcome = learn(*arguments)
            kind.guard.serving = next(falls)
            return outcome

        first: list[Any] = []

        def change_twice(*arguments: Any) -> Any:
            if not first:  # one thread is about to learn a label as another one learns two
                first.append(arguments)
                device.feedback(rows[1].id, label=1)
                return first.pop()
            result = change(*arguments)
            personal.find("other").answer = kind.derived(personal.find("other").state)
            first.append(change(*first.pop()))
            return result

        monkeypatch.setattr(kind, "learn", learn_and_switch)
        monkeypatch.setattr(personal._units, "change", change_twice)
        device.feedback(rows[0].id, label=1)
        assert not kind.device_serves
        assert not device.predict(unit_rows(1)[0], unit="other").personalised


def test_models_that_begin_at_once_have_one_secret(tmp_path: Path) -> None:
    found: list[bytes] = []
    begin = threading.Barrier(8)

    def ask() -> None:
        begin.wait()
        found.append(secret_in(tmp_path))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == {secret_in(tmp_path)}


def test_another_kind_is_not_undone_by_a_guard_of_the_one_before() -> None:
    store = UnitStore(None, SECRET)
    units = store.space("basis", Texts())
    tell(units, "ann", "likes tea")
    newer = Texts()
    locked = units._lock

    class Late:
        """Gives the lock only after another thread has brought a newer kind."""

        def __enter__(self) -> None:
            units._lock = locked
            units.use(newer)
            locked.acquire()

        def __exit__(self, *_: object) -> None:
            locked.release()

    units._lock = Late()  # type: ignore[assignment]
    units.refresh()
    assert units.kind is newer


def test_a_session_that_another_declaration_takes_over_is_forgotten_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Model(tmp_path).service
    before, after = SessionStore(VISIT, Clock()), SessionStore(VISIT, Clock())
    service.use_sessions(before)
    before.event("ann", {})
    adopt, found = SessionStore.adopt, list[bool]()
    other = threading.Thread(target=lambda: found.append(service.forget("ann")))

    def slow(store: SessionStore, old: SessionStore) -> bool:
        goes_on = adopt(store, old)
        other.start()
        other.join(0.2)  # it has to wait, or it would forget what is not asked any more
        return goes_on

    monkeypatch.setattr(SessionStore, "adopt", slow)
    assert service.use_sessions(after)
    other.join()
    assert found == [True]
    assert not after.lives("ann")
    service.close()
