"""States of units in memory and on the disk: bounded, exactly deleted, never in the way."""

from __future__ import annotations

import contextlib
import gc
import sqlite3
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sdk.errors import ContractError, StateError
from edge_sdk.personalise.personal_kind import PersonalKind
from edge_sdk.personalise.personal_model import PersonalModel
from edge_sdk.personalise.units.unit_file import RETRY_SECONDS
from edge_sdk.personalise.units.unit_secret import secret_in
from edge_sdk.personalise.units.unit_space import HOT, HeldUnit, UnitSpace
from edge_sdk.personalise.units.unit_store import UnitLimits, UnitStore
from tests.edge.personalise.simulated_units import class_prior

SECRET = b"s" * 32


class Texts:
    """Units that keep a text: what is stored of one can be looked for in bytes."""

    state_bytes = 1_000

    def new(self) -> list[str]:
        return [""]

    def dump(self, state: list[str]) -> bytes:
        return state[0].encode()

    def load(self, raw: bytes) -> list[str]:
        if raw.startswith(b"bad"):
            raise ContractError("unit: expected a text")
        return [raw.decode()]

    def derived(self, state: list[str] | None) -> str | None:
        return None if state is None else state[0]


@pytest.fixture(autouse=True)
def closed_stores(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close what tests open: from Python 3.13 on a database that is left open is a warning."""
    opened: list[UnitStore] = []
    begin = UnitStore.__init__

    def noted(store: UnitStore, *given: Any, **named: Any) -> None:
        begin(store, *given, **named)
        opened.append(store)

    monkeypatch.setattr(UnitStore, "__init__", noted)
    yield
    for store in opened:
        store.close()


def tell(units: UnitSpace[list[str]], name: str, text: str) -> Any:
    def do(state: list[str]) -> str:
        state[0] = text
        return text

    return units.change(units.find(name), time.time(), do)


def stored(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())


def test_a_unit_that_learned_nothing_is_stored_nowhere(tmp_path: Path) -> None:
    store = UnitStore(tmp_path, SECRET)
    units = store.space("basis", Texts())
    for i in range(10_000):
        assert units.find(f"visitor-{i}").answer is None
    store.save()
    assert (units.count, store.status()["stored"]) == (0, 0)
    assert len(units.hot) <= HOT


def test_what_was_learned_is_there_after_a_restart_and_the_name_is_not(tmp_path: Path) -> None:
    store = UnitStore(tmp_path, SECRET)
    tell(store.space("basis", Texts()), "user-é-42", "likes tea")
    store.close()
    assert b"likes tea" in stored(tmp_path)
    assert "user-é-42".encode() not in stored(tmp_path)
    again = UnitStore(tmp_path, SECRET).space("basis", Texts())
    assert again.find("user-é-42").answer == "likes tea"
    assert again.find("user-e-42").answer is None


def test_units_of_another_secret_are_removed(tmp_path: Path) -> None:
    store = UnitStore(tmp_path, SECRET)
    tell(store.space("basis", Texts()), "user", "likes tea")
    store.close()
    other = UnitStore(tmp_path, b"t" * 32)
    assert other.space("basis", Texts()).find("user").answer is None
    assert other.status()["stored"] == 0
    other.close()
    assert b"likes tea" not in stored(tmp_path)


def test_spaces_have_nothing_in_common_and_come_back(tmp_path: Path) -> None:
    store = UnitStore(tmp_path, SECRET)
    one, two = store.space("one", Texts()), store.space("two", Texts())
    tell(one, "user", "likes tea")
    assert two.find("user").answer is None
    store.leave(one)
    assert store.space("one", Texts()).find("user").answer == "likes tea"


def test_after_forget_no_byte_of_a_unit_is_left(tmp_path: Path) -> None:
    store = UnitStore(tmp_path, SECRET)
    units = store.space("basis", Texts())
    for i in range(300):
        tell(units, f"user-{i}", f"secret of {i:04}")
    store.save()
    for i in range(300, 400):  # in memory, and in the log of the file alone
        tell(units, f"user-{i}", f"secret of {i:04}")
    store.save()
    tell(units, "user-7", "secret of 0007, and more")
    held = units.find("user-7")
    assert store.forget("user-7")
    assert store.forget("user-350")
    raw = stored(tmp_path)
    for gone in (b"secret of 0007", b"secret of 0350"):
        assert gone not in raw
    assert b"secret of 0008" in raw
    assert store.key_of("user-7") not in raw
    assert held.gone
    assert units.change(held, 0.0, lambda state: "learned") is None
    assert units.find("user-7").answer is None
    assert not store.forget("user-7")
    store.close()


def test_forgetting_a_unit_that_nobody_knows_says_so(tmp_path: Path) -> None:
    assert not UnitStore(None, SECRET).forget("nobody")
    assert not UnitStore(tmp_path, SECRET).forget("nobody")
    assert not (tmp_path / "units.db").exists()


def test_a_unit_on_the_disk_is_forgotten_before_any_space_is_open(tmp_path: Path) -> None:
    store = UnitStore(tmp_path, SECRET)
    tell(store.space("basis", Texts()), "user", "likes tea")
    store.close()
    assert UnitStore(tmp_path, SECRET).forget("user")
    assert b"likes tea" not in stored(tmp_path)


@pytest.mark.parametrize("on_disk", [True, False])
def test_units_from_one_loop_stay_bounded_in_memory_and_on_the_disk(
    tmp_path: Path, on_disk: bool
) -> None:
    limits = UnitLimits(memory=200_000, disk=500_000)
    store = UnitStore(tmp_path if on_disk else None, SECRET, limits)
    units = store.space("basis", Texts())
    for i in range(20_000):
        tell(units, f"user-{i}", f"{i:0400}")
    assert units.count * 528 <= 200_000 + HOT * 528
    assert units.find("user-19999").answer == f"{19999:0400}"
    assert (units.lost > 15_000) == (not on_disk)
    if on_disk:
        store.save()
        assert store.status()["stored"] <= 500_000 // 1024
        # Nothing but what is oldest on the disk has gone.
        assert units.find("user-19700").answer == f"{19700:0400}"
    store.close()
    assert sum(p.stat().st_size for p in tmp_path.iterdir()) < 3_000_000


def test_ten_thousand_units_take_at_most_eight_megabytes() -> None:
    model = PersonalModel(class_prior(np.random.default_rng(0).normal(size=(7, 16))), {})
    kind = PersonalKind(model, model.new_guard(), serves=True)
    rng = np.random.default_rng(1)
    state = model.new()
    for label in [*range(7)] * 3:
        phi = rng.normal(size=16).astype(np.float32)
        model.learn(state, phi, [1 / 7] * 7, label, 0.0)
    raw = model.dump(state)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    store = UnitStore(None, SECRET)
    units = store.space("basis", kind)

    def become(new: Any) -> None:
        taught = model.load(raw)
        new.sums, new.labels, new.last = taught.sums, taught.labels, taught.last

    for i in range(10_000):
        units.change(units.find(f"user-{i}"), 0.0, become)
    gc.collect()
    took = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert (units.count, units.lost) == (10_000, 0)
    assert took <= 8 << 20


def test_a_row_that_the_disk_has_damaged_begins_anew_and_the_others_stay(tmp_path: Path) -> None:
    store = UnitStore(tmp_path, SECRET)
    units = store.space("basis", Texts())
    for name in ("ann", "bob"):
        tell(units, name, f"{name} likes tea")
    store.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "units.db")) as db, db:
        changed = db.execute(
            "UPDATE unit SET state = 'torn' WHERE state = ?", (b"ann likes tea",)
        ).rowcount
    db.close()
    assert changed == 1
    store = UnitStore(tmp_path, SECRET)
    units = store.space("basis", Texts())
    assert units.find("ann").answer is None
    assert units.find("bob").answer == "bob likes tea"
    assert store.status()["damaged"] == 1
    tell(units, "ann", "ann likes coffee")
    store.close()
    assert UnitStore(tmp_path, SECRET).space("basis", Texts()).find("ann").answer is not None


def test_a_state_that_cannot_be_read_begins_anew(tmp_path: Path) -> None:
    store = UnitStore(tmp_path, SECRET)
    tell(store.space("basis", Texts()), "ann", "bad luck")
    store.close()
    store = UnitStore(tmp_path, SECRET)
    assert store.space("basis", Texts()).find("ann").answer is None
    assert store.status()["damaged"] == 1


@pytest.mark.parametrize("content", [b"", b"no database" * 500, None])
def test_a_damaged_file_is_removed_and_units_go_on(tmp_path: Path, content: bytes | None) -> None:
    store = UnitStore(tmp_path, SECRET)
    tell(store.space("basis", Texts()), "ann", "likes tea")
    store.close()
    path = tmp_path / "units.db"
    raw = path.read_bytes() if content is None else content
    path.write_bytes(raw[: len(raw) // 2] + b"\xff" * (len(raw) // 2))
    store = UnitStore(tmp_path, SECRET)
    units = store.space("basis", Texts())
    units.find("ann")
    tell(units, "ann", "likes coffee")
    store.save()
    store.save()
    assert store.trouble is None
    assert units.find("ann").answer == "likes coffee"
    store.close()
    assert not list(tmp_path.glob("*damaged*"))
    assert UnitStore(tmp_path, SECRET).space("basis", Texts()).find("ann").answer is not None


def test_a_disk_that_takes_nothing_costs_no_answer_and_is_told(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("in the way")
    store = UnitStore(place, SECRET, UnitLimits(memory=100_000))
    units = store.space("basis", Texts())
    for i in range(2_000):
        tell(units, f"user-{i}", f"{i:0400}")
    assert units.find("user-1999").answer is not None
    assert store.trouble
    assert units.lost > 0
    with pytest.raises(StateError, match="forgotten in memory"):
        store.forget("user-1999")
    assert units.find("user-1999").answer is None
    store.close()


def test_units_that_are_looked_up_stay_bounded_while_the_disk_takes_nothing(
    tmp_path: Path,
) -> None:
    store = UnitStore(tmp_path, SECRET)
    units = store.space("basis", Texts())
    for i in range(2_000):
        tell(units, f"user-{i}", f"{i:0400}")
    store.close()
    store = UnitStore(tmp_path, SECRET, UnitLimits(memory=100_000))
    units = store.space("basis", Texts())
    assert store._file is not None
    store._file.trouble = "No space left on device"
    for i in range(2_000):
        assert units.find(f"user-{i}").answer == f"{i:0400}"
    assert units._bytes <= 100_000
    assert units.find("user-0").answer == f"{0:0400}"
    store.close()


def test_a_disk_that_takes_rows_again_gets_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "units"
    place.write_text("in the way")
    store = UnitStore(place, SECRET)
    units = store.space("basis", Texts())
    tell(units, "ann", "likes tea")
    tell(units, "bob", "likes tea, too")
    store.save()
    with pytest.raises(StateError):
        store.forget("bob")
    place.unlink()
    monkeypatch.setattr("edge_sdk.personalise.units.unit_file.RETRY_SECONDS", 0.0)
    store.save()
    assert store.trouble is None
    store.close()
    assert RETRY_SECONDS > 0
    raw = stored(place)
    assert (b"likes tea, too" in raw, b"likes tea" in raw) == (False, True)


def test_threads_that_find_learn_and_forget_at_once_lose_nothing_of_others(
    tmp_path: Path,
) -> None:
    store = UnitStore(tmp_path, SECRET, UnitLimits(memory=50_000, disk=10_000_000))
    units = store.space("basis", Texts())
    failures: list[BaseException] = []
    stop = threading.Event()

    def work(me: int) -> None:
        try:
            for i in range(1_500):
                name = f"user-{me}-{i % 200}"
                tell(units, name, f"{name} {i:0200}")
                assert units.answer_of(units.find(name)) == f"{name} {i:0200}"
        except BaseException as error:
            failures.append(error)

    def disturb() -> None:
        while not stop.is_set():
            store.forget("victim")
            tell(units, "victim", "x")
            store.save()

    disturber = threading.Thread(target=disturb)
    workers = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in (disturber, *workers):
        thread.start()
    for thread in workers:
        thread.join()
    stop.set()
    disturber.join()
    assert failures == []
    for me in range(8):
        name = f"user-{me}-199"
        assert units.find(name).answer == f"{name} {1_399:0200}"
    store.close()


def test_a_unit_that_is_packed_between_its_lookup_and_its_answer_keeps_its_answer() -> None:
    units = UnitStore(None, SECRET, UnitLimits()).space("basis", Texts())
    tell(units, "alice", "tea")
    found = units.find("alice")
    for i in range(2 * HOT):  # of other threads, before this one goes on
        units.find(f"user-{i}")
    assert "alice" not in units.hot
    assert units.answer_of(found) == "tea"
    assert units.find("alice") is found


def test_a_unit_that_is_forgotten_between_its_lookup_and_its_answer_has_none() -> None:
    store = UnitStore(None, SECRET, UnitLimits())
    units = store.space("basis", Texts())
    tell(units, "alice", "tea")
    found = units.find("alice")
    store.forget("alice")
    assert units.answer_of(found) is None
    assert "alice" not in units.hot


def test_every_state_is_gone_over_once(tmp_path: Path) -> None:
    store = UnitStore(tmp_path, SECRET, UnitLimits(memory=100_000))
    units = store.space("basis", Texts())
    for i in range(1_000):
        tell(units, f"user-{i}", f"{i:0400}")
    found = sorted(int(state[0]) for state in units.each())
    assert found == list(range(1_000))
    store.close()


def test_the_secret_stays_and_a_damaged_one_is_replaced(tmp_path: Path) -> None:
    first = secret_in(tmp_path)
    assert secret_in(tmp_path) == first
    path = tmp_path / "units.key"
    assert (len(first), path.stat().st_mode & 0o777) == (32, 0o600)
    path.write_bytes(first[:5])
    assert secret_in(tmp_path) not in (first, first[:5])
    assert secret_in(None) != secret_in(None)


def test_a_folder_that_takes_no_secret_gives_one_for_this_process(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    nowhere = tmp_path / "file" / "state"
    assert len(secret_in(nowhere)) == 32
    assert secret_in(nowhere) != secret_in(nowhere)


def test_one_object_stands_for_a_unit_while_anybody_holds_it() -> None:
    store = UnitStore(None, SECRET)
    units = store.space("basis", Texts())
    tell(units, "ann", "likes tea")
    held: HeldUnit = units.find("ann")
    for i in range(3 * HOT):
        units.find(f"other-{i}")
    assert "ann" not in units.hot
    assert units.find("ann") is held
    assert held.answer == "likes tea"
