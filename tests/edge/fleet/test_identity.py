"""The identity on the disk: twice, mended from the other copy, never ahead of what was written."""

from __future__ import annotations

import json
import sqlite3
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.contract.fleet import EnrolReply
from edge_sdk.errors import StateError
from edge_sdk.fleet import identity
from edge_sdk.fleet.identity import FILE, Identity, IdentityStore
from edge_sdk.state_db import StateDatabase


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StateDatabase]:
    store = StateDatabase(tmp_path)
    yield store
    store.close()


def joined(store: StateDatabase) -> IdentityStore:
    identities = IdentityStore(store)
    identities.save(Identity.new().joined(EnrolReply("d-1", "{}", ("m",), {"region": "eu"}), None))
    return identities


def test_the_identity_is_in_a_file_that_only_its_user_reads(
    store: StateDatabase, tmp_path: Path
) -> None:
    own = joined(store).identity
    assert own is not None
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    assert IdentityStore(store).identity == own
    assert own.key.seed.hex() not in repr(own)


def test_a_copy_of_a_newer_version_is_read_without_what_it_knows_more() -> None:
    own = Identity.new()
    body = {**json.loads(own.to_text())["identity"], "enclave": "tpm"}
    newer = json.dumps({"identity": body, "sha256": identity._digest(body)})
    assert Identity.from_text(newer) == own


def test_a_copy_of_an_older_version_takes_defaults_for_what_it_did_not_know() -> None:
    own = Identity.new()
    body = json.loads(own.to_text())["identity"]
    del body["attributes"], body["generation"]
    older = json.dumps({"identity": body, "sha256": identity._digest(body)})
    assert Identity.from_text(older) == own


def test_one_of_a_later_format_is_refused_and_not_called_damaged(
    store: StateDatabase, tmp_path: Path
) -> None:
    own = joined(store).identity
    assert own is not None
    text = json.dumps({**json.loads(own.to_text()), "format": 2})
    (tmp_path / FILE).write_text(text)
    damage_database(store, lambda _: json.dumps(text))
    with pytest.raises(StateError, match="by newer software; expected format 1 .* update edge_sdk"):
        IdentityStore(store)
    assert (tmp_path / FILE).read_text() == text


def flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def damage_database(store: StateDatabase, change: Callable[[str], str | None]) -> None:
    text = change(store.get("identity"))
    with store.transaction() as db:
        if text is None:
            db.execute("DELETE FROM value WHERE name = 'identity'")
        else:
            db.execute("UPDATE value SET content = ? WHERE name = 'identity'", (text,))


IN_THE_FILE: dict[str, Callable[[Path], Any]] = {
    "deleted": lambda path: path.unlink(),
    "emptied": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:100]),
    "a bit flipped": flip,
    "noise": lambda path: path.write_bytes(b"\xff\x00" * 50),
    "another object": lambda path: path.write_text("[1]"),
}
IN_THE_DATABASE: dict[str, Callable[[str], str | None]] = {
    "deleted": lambda text: None,
    "a bit flipped": lambda text: json.dumps(text.replace("d-1", "d-2")),
    "no JSON": lambda text: "{",
    "what an older version kept": lambda text: json.dumps({"device": "d-1", "token": "t"}),
}


@pytest.mark.parametrize("case", IN_THE_FILE)
def test_damage_of_the_file_is_mended_from_the_database(
    store: StateDatabase, tmp_path: Path, case: str
) -> None:
    own = joined(store).identity
    IN_THE_FILE[case](tmp_path / FILE)
    assert IdentityStore(store).identity == own
    assert Identity.from_text((tmp_path / FILE).read_text()) == own


@pytest.mark.parametrize("case", IN_THE_DATABASE)
def test_damage_of_the_database_is_mended_from_the_file(store: StateDatabase, case: str) -> None:
    own = joined(store).identity
    damage_database(store, IN_THE_DATABASE[case])
    assert IdentityStore(store).identity == own
    assert Identity.from_text(store.get("identity")) == own


def test_damage_of_both_is_said_with_what_to_do_and_a_new_identity_takes_their_place(
    store: StateDatabase, tmp_path: Path
) -> None:
    joined(store)
    (tmp_path / FILE).write_text("{")
    damage_database(store, lambda text: "{")
    with pytest.raises(StateError, match=r"both copies .* are damaged .* edge enrol .* --again"):
        IdentityStore(store)
    assert IdentityStore(store, again=True).identity == IdentityStore(store).identity


def test_one_of_software_with_one_model_for_each_device_is_refused_in_words(
    store: StateDatabase, tmp_path: Path
) -> None:
    own = joined(store).identity
    assert own is not None
    body = json.loads(own.to_text())["identity"]
    body["model"] = body.pop("models")[0]
    text = json.dumps({"identity": body, "sha256": identity._digest(body)})
    (tmp_path / FILE).write_text(text)
    damage_database(store, lambda _: json.dumps(text))
    with pytest.raises(StateError, match=r"an earlier edge_sdk, .* move the folder away, .* again"):
        IdentityStore(store)


@given(st.binary(max_size=300))
def test_no_text_is_more_than_a_damaged_copy(raw: bytes) -> None:
    assert Identity.from_text(raw.decode(errors="replace")) is None


def test_each_copy_says_what_the_other_does_after_every_step(
    store: StateDatabase, tmp_path: Path
) -> None:
    identities = joined(store)
    for generation in range(1, 5):
        before = identities.request()
        identities.advance()
        after = identities.request()
        assert (after.generation, after.nonce != before.nonce) == (generation, True)
        assert store.get("identity") == (tmp_path / FILE).read_text()


class Full:
    """A disk that takes nothing, from ``after`` further writes on."""

    def __init__(self, after: int, call: Callable[..., None]) -> None:
        self.left, self._call = after, call

    def __call__(self, *arguments: Any, **options: Any) -> None:
        if self.left == 0:
            raise OSError(28, "No space left on device")
        self.left -= 1
        self._call(*arguments, **options)


def test_on_a_full_disk_the_last_request_is_repeated_until_the_next_can_be_written(
    store: StateDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    identities = joined(store)
    first, write = identities.request(), identity.write_atomic
    monkeypatch.setattr(identity, "write_atomic", Full(0, write))
    for _ in range(3):
        identities.advance()
        assert identities.request() == first
    monkeypatch.setattr(identity, "write_atomic", write)
    identities.advance()
    assert identities.request().generation == 1
    assert IdentityStore(store).request() == identities.request()


def test_a_request_that_one_copy_alone_holds_is_not_sent_while_the_other_cannot_be_mended(
    store: StateDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    identities = joined(store)
    first, write = identities.request(), identity.write_atomic
    monkeypatch.setattr(identity, "write_atomic", Full(0, write))
    identities.advance()  # the database has the next request, the file has not
    restarted = IdentityStore(store)
    assert restarted.request() == first
    monkeypatch.setattr(identity, "write_atomic", write)
    assert IdentityStore(store).request().generation == 1


def test_a_database_that_cannot_be_written_moves_nothing_on(
    store: StateDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    identities = joined(store)
    first = identities.request()

    def refuse(*arguments: Any) -> None:
        raise StateError("cannot write device.db") from sqlite3.OperationalError("full")

    monkeypatch.setattr(StateDatabase, "put", refuse)
    identities.advance()
    assert identities.request() == first
