"""Identities at the hub: enrolment that proves a key, credentials, clones, who is stopped."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from cloud_hub.database.engine import metadata
from cloud_hub.database.records import EnrolledDevice
from cloud_hub.errors import (
    Conflict,
    Forbidden,
    IdentityStopped,
    Invalid,
    NotFound,
    Unauthenticated,
)
from cloud_hub.fleet.credential_chain import ANYWHERE, ChainPosition
from cloud_hub.fleet.serials import Registration, SerialEntry
from cloud_hub.fleet.tokens import TokenTerms
from cloud_hub.hub import Hub
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.fleet import CheckIn, EnrolReply, ReportedState
from edge_sdk.contract.limits import MODELS
from edge_sdk.contract.messages import KeyVotes, Message, SampleBatch, Upload
from edge_sdk.hub.device_key import DeviceKey
from tests.simulated_device import MemoryChain, enrolled, vouched
from tests.waiting import PATIENCE

KEY = DeviceKey(bytes(range(32)))


def token(hub: Hub, **terms: object) -> str:
    return hub.fleet.tokens.make(TokenTerms(("demo",), **terms), actor="ann")[0][1]  # type: ignore[arg-type]


def enrol(hub: Hub, made: str | None, key: DeviceKey = KEY, **more: object) -> EnrolReply:
    return hub.fleet.enrol(made, key.enrolment(("demo",), made, **more))  # type: ignore[arg-type]


def chain(hub: Hub, key: DeviceKey = KEY) -> MemoryChain:
    """The chain of a device that has enrolled."""
    return MemoryChain(key, enrol(hub, token(hub), key).device)


def credential(hub: Hub, own: MemoryChain) -> str:
    """The next credential, as a device gets it whose disk and network work."""
    reply = hub.fleet.identities.new_credential(own.request())
    own.advance()
    return reply.credential


def test_a_device_that_enrols_again_gets_its_name_again_and_uses_no_token_up(inner: Hub) -> None:
    made = token(inner)
    first = enrol(inner, made)
    assert enrol(inner, made) == first  # the reply was lost
    other = token(inner)
    assert enrol(inner, other) == first  # its state was half lost
    assert enrol(inner, other, DeviceKey.generate()).device != first.device
    assert len(inner.fleet.devices()) == 2


def test_two_enrolments_of_one_key_at_once_make_one_device(inner: Hub) -> None:
    made, names = token(inner, uses=8), []
    threads = [
        threading.Thread(target=lambda: names.append(enrol(inner, made).device)) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert (len(names), len(set(names))) == (6, 1)
    (record,) = inner.fleet.tokens.list("demo")
    assert record.uses == 7


FORGED = {
    "another token": {"token": "enrol_other"},
    "another model": {"models": ("other",)},
    "other attributes": {"attributes": {"region": "eu"}},
    "a serial": {"serial": "SN-1"},
    "another key": {"public_key": DeviceKey.generate().public},
}


@pytest.mark.parametrize("case", FORGED)
def test_an_enrolment_that_was_changed_on_its_way_is_refused(inner: Hub, case: str) -> None:
    made = token(inner)
    request, changes = KEY.enrolment(("demo",), made), dict(FORGED[case])
    sent = changes.pop("token", made)
    with pytest.raises(Unauthenticated, match="signature: not made with the device's key"):
        inner.fleet.enrol(str(sent), replace(request, **changes))  # type: ignore[arg-type]
    assert inner.fleet.devices() == []


def test_a_device_speaks_the_protocol_of_now(inner: Hub) -> None:
    made = token(inner)
    with pytest.raises(Conflict, match="protocol: expected 3, got 2"):
        inner.fleet.enrol(made, replace(KEY.enrolment(("demo",), made), protocol=2))
    device = EnrolledDevice(enrol(inner, made).device, ("demo",))
    with pytest.raises(Conflict, match="protocol: expected 3, got 2"):
        inner.fleet.check_in(device, CheckIn(protocol=2))


def test_a_credential_is_void_once_there_is_a_newer_one_or_it_expired(
    inner: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = chain(inner)
    first = credential(inner, own)
    assert inner.fleet.authenticate(first).device == own.device
    second = credential(inner, own)
    with pytest.raises(Unauthenticated):
        inner.fleet.authenticate(first)
    inner.fleet.authenticate(second)
    at = inner.fleet.identities
    assert at.is_current(1_000.0, 1_000.0 + 3_599)
    assert not at.is_current(1_000.0, 1_000.0 + 3_600)
    # A clock that was ahead by a month, and was set right.
    assert not at.is_current(1_000.0 + 30 * 86_400, 1_000.0)


def test_a_credential_is_for_the_key_alone(inner: Hub) -> None:
    own = chain(inner)
    with pytest.raises(Unauthenticated, match="signature"):
        inner.fleet.identities.new_credential(
            MemoryChain(DeviceKey.generate(), own.device).request()
        )
    with pytest.raises(Unauthenticated, match="unknown to this hub") as unknown:
        inner.fleet.identities.new_credential(MemoryChain(KEY, "d-none").request())
    assert unknown.value.standing == "unknown"


def test_a_lost_reply_is_answered_as_often_as_it_is_asked_for(inner: Hub) -> None:
    own = chain(inner)
    for _ in range(3):
        for _ in range(3):
            inner.fleet.identities.new_credential(own.request())
        credential(inner, own)
    assert inner.fleet.identities.get(own.device).standing == "active"


def test_of_two_copies_both_are_stopped_at_the_second_question_of_the_second(inner: Hub) -> None:
    own = chain(inner)
    credential(inner, own)
    copy = MemoryChain(KEY, own.device, own.generation, own.nonce)
    first, of_copy = credential(inner, own), credential(inner, copy)
    with pytest.raises(Unauthenticated):  # the copy took it over, so the first asks again
        inner.fleet.authenticate(first)
    newest = credential(inner, own)
    with pytest.raises(Unauthenticated):
        inner.fleet.authenticate(of_copy)
    with pytest.raises(IdentityStopped, match="used by two copies") as stopped:
        credential(inner, copy)
    assert stopped.value.standing == "cloned"
    with pytest.raises(Unauthenticated):
        inner.fleet.authenticate(newest)
    with pytest.raises(IdentityStopped):
        credential(inner, own)
    (record,) = inner.fleet.devices()
    assert (record.standing, "two copies" in str(record.reason)) == ("cloned", True)
    assert inner.audit.entries()[-1].action == "cloned"


def test_a_device_that_was_restored_from_a_backup_is_stopped_and_goes_on_when_approved(
    inner: Hub,
) -> None:
    own = chain(inner)
    backup = MemoryChain(KEY, own.device, own.generation, own.nonce)
    for _ in range(5):
        credential(inner, own)
    with pytest.raises(IdentityStopped, match="restored from a backup"):
        credential(inner, backup)
    inner.fleet.identities.approve(own.device, actor="ann")
    for _ in range(3):
        credential(inner, backup)
    # If there is a second copy after all, both are stopped again.
    credential(inner, own)
    for copy in (backup, own):
        with pytest.raises(IdentityStopped):
            credential(inner, copy)


def test_a_hub_that_was_restored_from_a_backup_takes_no_device_for_a_clone(inner: Hub) -> None:
    own = chain(inner)
    own.generation = 70
    credential(inner, own)
    credential(inner, own)
    assert inner.fleet.identities.get(own.device).standing == "active"


def test_requests_of_one_device_at_once_are_no_clone(inner: Hub) -> None:
    own = chain(inner)
    request, errors = own.request(), []

    def ask() -> None:
        try:
            inner.fleet.identities.new_credential(request)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    own.advance()
    credential(inner, own)
    assert inner.fleet.identities.get(own.device).standing == "active"
    assert all(isinstance(error, Conflict) for error in errors)


Action = st.sampled_from(["asks", "reply is lost", "killed before it notes", "cannot write"])


@given(st.lists(Action, max_size=30))
def test_whatever_is_lost_on_the_way_one_device_is_never_a_clone(actions: list[str]) -> None:
    """The chain alone: the device sends what its disk holds, the hub judges."""
    position, generation, nonce, made = ANYWHERE, 0, "n0", 0
    for action in actions:
        step = position.step(generation, nonce)
        assert step in ("next", "repeat")
        if step == "next":
            position = position.after(generation, nonce)
        if action == "asks":
            made += 1
            generation, nonce = generation + 1, f"n{made}"


@given(st.lists(st.booleans(), min_size=4, max_size=30))
def test_two_copies_that_both_go_on_asking_are_found_out(turns: list[bool]) -> None:
    position, copies = ANYWHERE, {True: (0, "same"), False: (0, "same")}
    asked: list[bool] = []
    for turn in turns:
        step = position.step(*copies[turn])
        if step == "clone":
            return
        if step == "next":
            position = position.after(*copies[turn])
        asked.append(turn)
        generation = copies[turn][0] + 1
        copies[turn] = (generation, f"{turn}{generation}")
    # Nobody was found out: then one of them asked once at most, before the other began.
    assert min(asked.count(True), asked.count(False)) <= 1


def test_positions_are_told_apart() -> None:
    at = ChainPosition(5, "n4")
    steps = {(5, "n5"): "next", (4, "n4"): "repeat", (4, "x"): "clone", (3, "n4"): "clone"}
    assert {asked: at.step(*asked) for asked in steps} == steps
    assert at.step(6, "n6") == "ahead"


def test_a_stolen_device_gets_nothing_any_more_and_the_token_it_came_with_does_not_help(
    inner: Hub,
) -> None:
    own = chain(inner)
    good = credential(inner, own)
    inner.fleet.identities.revoke(own.device, reason="stolen", actor="ann")
    with pytest.raises(Unauthenticated):
        inner.fleet.authenticate(good)
    for call in (lambda: credential(inner, own), lambda: enrol(inner, token(inner))):
        with pytest.raises(IdentityStopped, match="was revoked") as stopped:
            call()
        assert (stopped.value.status, stopped.value.standing) == (403, "revoked")
    with pytest.raises(Conflict, match="revoked before"):
        inner.fleet.identities.revoke(own.device, reason="again", actor="ann")
    inner.fleet.identities.approve(own.device, actor="ann")  # it was found
    credential(inner, own)


def test_a_device_that_needs_approval_waits_for_it_and_keeps_its_place(inner: Hub) -> None:
    made = token(inner, approve=True)
    reply = enrol(inner, made)
    own = MemoryChain(KEY, reply.device)
    assert (reply.standing, enrol(inner, made)) == ("pending", reply)
    for _ in range(2):
        with pytest.raises(IdentityStopped, match="waits for approval"):
            credential(inner, own)
    inner.fleet.identities.approve(reply.device, actor="ann")
    assert enrol(inner, made).standing == "active"
    credential(inner, own)
    with pytest.raises(Conflict, match="is active already"):
        inner.fleet.identities.approve(reply.device, actor="ann")
    with pytest.raises(NotFound, match="d-none: no such device"):
        inner.fleet.identities.approve("d-none", actor="ann")


def test_attributes_that_a_token_fixes_cannot_be_changed_by_its_devices(inner: Hub) -> None:
    made = token(inner, attributes={"region": "eu"})
    reply = enrol(inner, made, attributes={"region": "us", "shop": "7"})
    assert reply.attributes == {"region": "eu"}
    (record,) = inner.fleet.devices()
    assert record.attributes == {"region": "eu", "shop": "7"}
    said = CheckIn({"demo": ReportedState("1.0", 1)}, {"region": "us", "shop": "8"})
    inner.fleet.check_in(EnrolledDevice(reply.device, ("demo",)), said)
    (record,) = inner.fleet.devices()
    assert record.attributes == {"region": "eu", "shop": "8"}


def test_a_registered_device_joins_by_key_or_by_its_one_time_secret(inner: Hub) -> None:
    other = DeviceKey.generate()
    entries = (SerialEntry("SN-1", public_key=KEY.public), SerialEntry("SN-2"))
    registered = inner.fleet.serials.register(
        Registration(("demo",), entries, {"plant": "a"}), actor="ann"
    )
    assert registered[0] == entries[0]
    secret = registered[1].secret
    assert secret is not None
    for key, serial, shown in (
        (other, "SN-1", None), (other, "SN-2", None), (other, "SN-2", "wrong"),
        (KEY, "SN-2", None), (KEY, "SN-9", secret),
    ):  # fmt: skip
        with pytest.raises(Unauthenticated, match="serial: not registered here"):
            enrol(inner, shown, key, serial=serial)
    first = enrol(inner, None, KEY, serial="SN-1")
    second = enrol(inner, secret, other, serial="SN-2")
    assert enrol(inner, secret, other, serial="SN-2") == second
    with pytest.raises(Forbidden, match=f"has joined as {second.device}"):
        enrol(inner, secret, DeviceKey.generate(), serial="SN-2")
    records = inner.fleet.devices()
    assert [(r.device, r.serial, r.vouched_by) for r in records] == [
        (first.device, "SN-1", first.device),
        (second.device, "SN-2", second.device),
    ]
    assert first.attributes == {"plant": "a"}


def test_a_serial_is_registered_anew_until_a_device_has_joined_with_it(inner: Hub) -> None:
    def register(*entries: SerialEntry) -> list[SerialEntry]:
        return inner.fleet.serials.register(Registration(("demo",), entries), actor="ann")

    (old,), (new,) = register(SerialEntry("SN-1")), register(SerialEntry("SN-1"))
    with pytest.raises(Unauthenticated):
        enrol(inner, old.secret, serial="SN-1")
    joined = enrol(inner, new.secret, serial="SN-1")
    with pytest.raises(Conflict, match="has joined as"):
        register(SerialEntry("SN-2"), SerialEntry("SN-1"))
    with pytest.raises(Unauthenticated):  # all of a list or nothing
        enrol(inner, "x" * 20, DeviceKey.generate(), serial="SN-2")
    inner.fleet.forget(joined.device, reason="broken", actor="ann")
    register(SerialEntry("SN-1"))


WRONG_ENTRIES = {
    "a secret that can be guessed": ({"secret": "1234"}, "secret: expected 16 to 256"),
    "a key of another length": ({"public_key": "0a"}, "public_key: expected 64 hexadecimal"),
    "both": ({"public_key": "0a" * 32, "secret": "x" * 20}, "a public key or a secret, got both"),
    "a serial with a space": ({"serial": "SN 1"}, "serial: expected"),
}


@pytest.mark.parametrize("case", WRONG_ENTRIES)
def test_an_entry_that_means_nothing_is_refused(case: str) -> None:
    changes, reason = WRONG_ENTRIES[case]
    with pytest.raises(Invalid, match=reason):
        SerialEntry(**{"serial": "SN-1", **changes})
    with pytest.raises(Invalid, match="serial SN-1: is there twice"):
        Registration(("demo",), [SerialEntry("SN-1")] * 2)


def test_a_device_that_is_forgotten_leaves_nothing_that_names_it_but_the_audit(
    serving: Hub,
) -> None:
    device, other = vouched(serving, 2)
    serving.policies.apply("demo", "sharing: {samples: true, per_window: 10}\n", actor="test")
    now = int(time.time()) // 300 * 300
    bodies = (
        KeyVotes("demo", "1.0", now, ("aa" * 16,)),
        SampleBatch("demo", "1.0", ((0.1, 0.2, 0.3, 0.4),), (1,), (now,)),
    )
    kinds = ("votes", "samples")
    messages = tuple(
        Message("b", i, kind, to_plain(body))
        for i, (kind, body) in enumerate(zip(kinds, bodies, strict=True), 1)
    )
    for name in (device, other):
        assert (
            serving.telemetry.ingest(EnrolledDevice(name, ("demo",)), Upload(messages)).accepted
            == 2
        )
    serving.fleet.forget(device, reason="its owner left", actor="ann")
    left = {}
    with serving.engine.connect() as db:
        for table in metadata.sorted_tables:
            for row in db.execute(select(table)):
                if device in repr(row):
                    left.setdefault(table.name, []).append(row)
    assert set(left) == {"audit"}
    assert [record.device for record in serving.fleet.devices()] == [other]
    with pytest.raises(NotFound):
        serving.fleet.forget(device, reason="again", actor="ann")


def test_tokens_are_listed_without_the_secret_and_revoked_by_their_id(inner: Hub) -> None:
    made = inner.fleet.tokens.make(TokenTerms(("demo",), seconds=60), actor="ann", count=3)
    enrolled(inner, made[0][1])
    listed = inner.fleet.tokens.list("demo")
    assert [record.id for record in listed] == sorted(id_ for id_, _ in made[1:])
    assert len(inner.fleet.tokens.list("demo", usable=False)) == 3
    assert not any(secret in repr(listed) for _, secret in made)
    inner.fleet.tokens.revoke(made[1][0], actor="ann")
    with pytest.raises(Conflict, match="revoked before"):
        inner.fleet.tokens.revoke(made[1][0], actor="ann")
    with pytest.raises(NotFound, match="no such token"):
        inner.fleet.tokens.revoke("0000000000", actor="ann")
    assert len(inner.fleet.tokens.list("demo")) == 1


def test_no_secret_is_in_the_database(inner: Hub, tmp_path: Path) -> None:
    made = token(inner)
    (entry,) = inner.fleet.serials.register(
        Registration(("demo",), [SerialEntry("SN-1")]), actor="ann"
    )
    own = MemoryChain(KEY, enrol(inner, made).device)
    given_out = credential(inner, own)
    with inner.engine.connect() as db:
        stored = repr([db.execute(select(t)).all() for t in metadata.sorted_tables])
    assert not any(secret in stored for secret in (made, str(entry.secret), given_out))


def test_a_one_time_secret_lets_one_device_in_and_be_it_one_that_joined_before(inner: Hub) -> None:
    """A second device with the same secret would be a second voter of one secret."""
    (entry,) = inner.fleet.serials.register(
        Registration(("more",), (SerialEntry("SN-3"),)), actor="ann"
    )
    other = DeviceKey.generate()
    first, second = (enrol(inner, token(inner), key).device for key in (KEY, other))

    def join(key: DeviceKey) -> EnrolReply:
        request = key.enrolment(("more",), entry.secret, serial="SN-3")
        return inner.fleet.enrol(entry.secret, request)

    assert join(KEY).models == ("demo", "more")
    assert join(KEY).device == first  # the reply was lost
    with pytest.raises(Forbidden, match=f"has joined as {first}"):
        join(other)
    assert [r.model for r in inner.fleet.devices() if r.device == second] == ["demo"]


def test_a_device_has_no_more_models_than_its_messages_may_name(inner: Hub) -> None:
    names = [f"m{i:02}" for i in range(MODELS)]
    device = enrol(inner, token(inner)).device
    ((_, made),) = inner.fleet.tokens.make(TokenTerms(tuple(names)), actor="ann")
    with pytest.raises(Conflict, match=f"at most {MODELS} models on one device"):
        inner.fleet.enrol(made, KEY.enrolment(tuple(names), made))
    reply = inner.fleet.enrol(made, KEY.enrolment(tuple(names[1:]), made))
    assert (reply.device, len(reply.models)) == (device, MODELS)
