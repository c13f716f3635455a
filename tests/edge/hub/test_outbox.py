"""The store and the outbox: nothing acknowledged is lost, everything lost is counted."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_sdk.contract.messages import KeyVotes, Rejection, UpdateEvent, UploadReply
from edge_sdk.errors import ContractError, StateError
from edge_sdk.hub.outbox import Outbox
from edge_sdk.state_db import StateDatabase
from edge_sdk.update.syncer import backoff, jittered
from tests.waiting import PATIENCE


def event(number: int) -> UpdateEvent:
    return UpdateEvent("demo", "activated", "1.0", number)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StateDatabase]:
    store = StateDatabase(tmp_path)
    yield store
    store.close()


def sent(outbox: Outbox) -> list[object]:
    upload = outbox.batch()
    return [] if upload is None else [m.open() for m in upload.messages]


def test_messages_wait_in_order_under_names_that_stay(store: StateDatabase) -> None:
    outbox = Outbox(store, "b1")
    outbox.put([event(1), event(2)])
    outbox.put([event(3)])
    upload = outbox.batch()
    assert upload is not None
    assert [m.sequence for m in upload.messages] == [1, 2, 3]
    assert sent(outbox) == [event(1), event(2), event(3)]
    assert outbox.batch() == upload


def test_messages_survive_the_end_of_the_process(tmp_path: Path) -> None:
    code = (
        "import os, sys; from edge_sdk.state_db import StateDatabase\n"
        "from edge_sdk.hub.outbox import Outbox\n"
        "from edge_sdk.contract.messages import UpdateEvent\n"
        f"o = Outbox(StateDatabase({str(tmp_path)!r}), 'b1')\n"
        "o.put([UpdateEvent('demo', 'activated', '1.0', 7)]); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code], check=False, timeout=PATIENCE)
    store = StateDatabase(tmp_path)
    assert sent(Outbox(store, "b2")) == [event(7)]
    store.close()


def test_what_the_hub_has_is_forgotten_and_the_rest_waits(store: StateDatabase) -> None:
    outbox = Outbox(store, "b1")
    outbox.put([event(1), event(2)])
    upload = outbox.batch()
    assert upload is not None
    outbox.put([event(3)])
    outbox.settle(upload, UploadReply(accepted=1, duplicates=1))
    assert sent(outbox) == [event(3)]


def test_a_reply_that_does_not_account_for_everything_forgets_nothing(store: StateDatabase) -> None:
    outbox = Outbox(store, "b1")
    outbox.put([event(1), event(2)])
    upload = outbox.batch()
    assert upload is not None
    with pytest.raises(ContractError, match="expected 2 messages accounted for, got 1"):
        outbox.settle(upload, UploadReply(1, 0))
    assert outbox.waiting() == 2


def test_what_the_hub_will_never_take_is_dropped_and_counted(store: StateDatabase) -> None:
    outbox = Outbox(store, "b1")
    outbox.put([event(1)])
    upload = outbox.batch()
    assert upload is not None
    outbox.settle(upload, UploadReply(0, 0, (Rejection("b1", 1, "no such version"),)))
    assert (outbox.waiting(), outbox.take_lost()) == (0, {"rejected": 1})
    assert outbox.take_lost() == {}


def test_a_full_box_drops_the_oldest_and_counts_them(store: StateDatabase) -> None:
    outbox = Outbox(store, "b1", capacity=500)
    for number in range(20):
        outbox.put([event(number)])
    kept = sent(outbox)
    assert kept == [event(n) for n in range(20 - len(kept), 20)]
    assert outbox.take_lost() == {"outbox": 20 - len(kept)}


def test_a_message_no_hub_would_take_is_not_kept(store: StateDatabase) -> None:
    outbox = Outbox(store, "b1")
    huge = UpdateEvent("demo", "failed", "1.0", 1, reason="x" * (5 << 20))
    outbox.put([huge, event(1)])
    assert sent(outbox) == [event(1)]
    assert outbox.take_lost() == {"oversized": 1}


def test_an_upload_stays_below_its_limits(store: StateDatabase) -> None:
    outbox = Outbox(store, "b1")
    keys = tuple(f"{i:032x}" for i in range(1_000))
    outbox.put([KeyVotes("demo", "1.0", n, keys) for n in range(300)])
    upload = outbox.batch()
    assert upload is not None
    assert len(upload.messages) == 256
    assert len(upload.to_json()) <= 16 << 20


def test_a_transaction_that_fails_changes_nothing(store: StateDatabase) -> None:
    store.put("name", 1)

    def fail() -> None:
        with store.transaction():
            store.put("name", 2)
            Outbox(store, "b1").put([event(1)])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (store.get("name"), Outbox(store, "b1").waiting()) == (1, 0)


def test_a_state_folder_of_an_older_schema_is_brought_up_with_all_that_it_holds(
    tmp_path: Path,
) -> None:
    db = sqlite3.connect(tmp_path / "device.db")
    db.executescript(
        "CREATE TABLE value (name TEXT PRIMARY KEY, content TEXT NOT NULL);"
        "CREATE TABLE failure (release TEXT PRIMARY KEY, serial INTEGER NOT NULL, reason TEXT);"
        "CREATE TABLE outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, boot TEXT NOT NULL,"
        " sequence INTEGER NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL,"
        " bytes INTEGER NOT NULL);"
        "INSERT INTO failure VALUES ('aa', 3, 'slow'); PRAGMA user_version = 1;"
    )
    db.close()
    for _ in range(2):
        store = StateDatabase(tmp_path)
        assert store.query("SELECT * FROM failure") == [("aa", 3, "slow", None, "")]
        assert store.query("SELECT groups FROM waiting") == []
        store.close()


def test_a_state_folder_of_another_schema_is_refused(tmp_path: Path) -> None:
    StateDatabase(tmp_path).close()
    db = sqlite3.connect(tmp_path / "device.db")
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(StateError, match="expected schema 7 or older, got 99"):
        StateDatabase(tmp_path)


def test_what_is_no_database_is_set_aside_and_another_one_begun(tmp_path: Path) -> None:
    (tmp_path / "device.db").write_bytes(b"not a database at all" * 100)
    store = StateDatabase(tmp_path)
    store.put("hub", "http://hub")
    assert "not a database" in store.health()["damaged"]["device.db"]
    assert (tmp_path / "device.db.damaged").read_bytes().startswith(b"not a database")
    store.close()


def test_waits_grow_with_failures_and_never_beyond_their_bound() -> None:
    source = random.Random(0)
    for failures in range(1, 60):
        bound = min(900.0, 5.0 * 2 ** (failures - 1))
        waits = [backoff(failures, 5.0, 900.0, source) for _ in range(50)]
        assert all(0 <= wait <= bound for wait in waits)
        assert max(waits) > bound / 2
    assert all(48 <= jittered(60, source) <= 72 for _ in range(200))
