"""Keys of a hub: what is renewed by whom, what is refused, and that nothing is ever half done."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata

from cloud_hub.errors import Conflict, HubFault, Invalid
from cloud_hub.registry import metadata_folder
from cloud_hub.registry.key_folder import OfflineKeys, public_key
from cloud_hub.registry.keys.changes import KeyChange, next_root
from cloud_hub.registry.keys.request import SigningRequest
from cloud_hub.registry.keys.service import said_of
from cloud_hub.registry.repository import Repository
from cloud_hub.registry.roles import VALIDITY
from cloud_hub.registry.signing import load_signer
from tests.hub.registry.keys.old_hub import DAY, OldHub


@pytest.fixture
def old(tmp_path: Path) -> OldHub:
    return OldHub(tmp_path)


def verified(repository: Repository) -> dict[str, int]:
    """Versions of all that is in force; fails unless every signature is as a device wants it."""
    files = repository.files
    roots = [files.read(f"{i + 1}.root.json") for i in range(files.version("root"))]
    for before, after in zip([roots[0], *roots], roots, strict=False):
        for delegator in (before, after):
            delegator.signed.verify_delegate("root", after.signed_bytes, after.signatures)
    root, timestamp = roots[-1], files.read("timestamp.json")
    snapshot = files.read(f"{timestamp.signed.snapshot_meta.version}.snapshot.json")
    listed = {n: m.version for n, m in snapshot.signed.meta.items()}
    newest = {
        role: files.read(f"{listed[f'{role}.json']}.{role}.json")
        for role in ("targets", "releases", "plans")
    }
    for role, metadata in {"timestamp": timestamp, "snapshot": snapshot, **newest}.items():
        parent = newest["targets"] if role in ("releases", "plans") else root
        parent.signed.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    return {"root": len(roots)} | {role: m.signed.version for role, m in newest.items()}


def renew(old: OldHub) -> bool:
    return old.repository.renew(datetime.datetime.fromtimestamp(old.clock(), datetime.UTC))


def test_a_hub_without_its_offline_keys_opens_signs_and_publishes(old: OldHub) -> None:
    assert not any(old.repository.holds(role) for role in ("root", "targets"))
    old.machine.run(DAY)
    assert renew(old)
    verified(old.repository)


def test_a_hub_that_holds_all_keys_renews_all_of_them_for_years(tmp_path: Path) -> None:
    old = OldHub(tmp_path, count=1, threshold=1)
    (tmp_path / "stick" / "offline-1.pem").rename(tmp_path / "keys" / "offline.pem")
    for _ in range(60):
        old.machine.run(20 * DAY)
        renew(old)
        for role in ("root", "targets", "releases"):
            left = {r.role: r.days_left for r in old.keys.status().roles}[role]
            assert left > VALIDITY[role].days / 2 - 21
    assert verified(old.repository)["root"] > 5
    assert old.keys.status().summary == "ok"


@pytest.mark.parametrize("days", [300, 364, 400, 1_200])
def test_one_signing_elsewhere_renews_what_the_hub_cannot_be_it_expired_or_not(
    old: OldHub, days: int
) -> None:
    old.machine.run(days * DAY)
    renew(old)
    status = old.keys.status().summary
    assert status == ("expired" if days > 365 else f"renew in {365 - days} days")
    outcome = old.keys.export([], 365)
    assert set(outcome.request.following) == {"root", "targets"}  # type: ignore[union-attr]
    with pytest.raises(Conflict, match="signatures are missing; root: 1 of 2"):
        old.keys.take([old.signed(outcome.request, [1])])
    old.keys.take([old.signed(outcome.request, [1, 3])])
    assert verified(old.repository)["root"] == 2
    assert old.keys.status().summary == "ok"


def test_two_people_may_sign_a_copy_each(old: OldHub) -> None:
    request = old.keys.export([], 365).request
    copies = [old.signed(request, [1]), old.signed(request, [2])]
    assert old.keys.take(copies).done


ROTATIONS: dict[str, dict[str, KeyChange]] = {
    "the online key": {"online": KeyChange()},
    "the releases key": {"releases": KeyChange()},
    "both at once": {"online": KeyChange(), "releases": KeyChange()},
}


@pytest.mark.parametrize("case", ROTATIONS)
def test_keys_of_the_hub_are_replaced_by_one_signing(old: OldHub, case: str) -> None:
    before = {r.role: r.keys for r in old.keys.status().roles}
    outcome = old.keys.rotate(ROTATIONS[case], 365, to_file=True)
    assert not outcome.done
    verified(old.repository)  # nothing changed yet
    old.keys.take([old.signed(outcome.request, [2, 3])])
    verified(old.repository)
    after = {r.role: r.keys for r in old.keys.status().roles}
    changed = {role for role in after if before[role] != after[role]}
    groups = {"online": {"snapshot", "timestamp", "plans"}, "releases": {"releases"}}
    assert changed == set().union(*(groups[g] for g in ROTATIONS[case]))
    for name in ("online", "releases"):
        role = "timestamp" if name == "online" else name
        assert old.repository.signer(name).public_key.keyid == after[role][0]
        assert old.repository.keys.signer(name).public_key.keyid == after[role][0]


def test_a_lost_offline_key_is_replaced_and_the_threshold_raised(old: OldHub) -> None:
    OfflineKeys(old.stick / "new", 2).make()
    added = tuple(public_key(old.stick / "new" / f"offline-{i}.pub") for i in (1, 2))
    gone = old.key(3).public_key.keyid
    change = KeyChange(added, (gone[:10],), 3)
    outcome = old.keys.rotate({"offline": change}, 365, to_file=True)
    with pytest.raises(Conflict, match="2 of 3 by the keys of root 2"):
        old.keys.take([old.signed(outcome.request, [1, 2])])  # enough for the old root alone
    request = old.signed(outcome.request, [1, 2])
    request.sign({"new": load_signer(old.stick / "new" / "offline-1.pem")})
    old.keys.take([request])
    verified(old.repository)
    root = {r.role: r for r in old.keys.status().roles}["root"]
    assert (root.threshold, len(root.keys), gone in root.keys) == (3, 4, False)


def test_a_publishers_key_elsewhere_is_replaced_by_its_public_part(
    old: OldHub, tmp_path: Path
) -> None:
    publisher = OfflineKeys(tmp_path / "publisher")
    (signer,) = publisher.make()
    change = KeyChange((public_key(tmp_path / "publisher" / "offline-1.pub"),), ("all",))
    request = old.keys.rotate({"releases": change}, 365, to_file=True).request
    with pytest.raises(Conflict, match="releases: 0 of 1 by the keys of targets 2"):
        old.keys.take([old.signed(request, [1, 2])])
    signed = old.signed(request, [1, 2])
    signed.sign({"publisher": signer})
    old.keys.take([signed])
    verified(old.repository)
    assert old.keys.status().roles[2].held == ()


def _overtaken(old: OldHub) -> None:
    first, second = (old.keys.export([], 365).request for _ in range(2))
    old.keys.take([old.signed(first, [1, 2])])
    old.keys.take([old.signed(second, [1, 2])])


def _stale(old: OldHub) -> None:
    request = old.keys.export([], 30).request
    old.machine.run(31 * DAY)
    old.keys.take([old.signed(request, [1, 2])])


def _lost_online_key(old: OldHub) -> None:
    request = old.keys.rotate({"online": KeyChange()}, 365, to_file=True).request
    old.keys.rotate({"online": KeyChange()}, 365, to_file=True)  # makes another one
    old.keys.take([old.signed(request, [1, 2])])


def _copies(old: OldHub) -> None:
    first, second = (old.keys.export([], days).request for days in (30, 40))
    old.keys.take([old.signed(first, [1]), old.signed(second, [2])])


def _without_targets(old: OldHub) -> None:
    OfflineKeys(old.stick / "new").make()
    change = KeyChange((public_key(old.stick / "new" / "offline-1.pub"),), ("all",), 1)
    request = old.keys.rotate({"offline": change}, 365, to_file=True).request
    assert request is not None
    alone = SigningRequest(request.current, {"root": request.following["root"]})
    alone.sign({"new": load_signer(old.stick / "new" / "offline-1.pem")})
    alone.sign({"1": old.key(1), "2": old.key(2)})
    old.keys.take([alone])


def _elliptic(old: OldHub) -> None:
    key = CryptoSigner.generate_ecdsa().public_key
    old.keys.rotate({"offline": KeyChange((key,))}, 365, to_file=True)


def _stranger(old: OldHub) -> None:
    request = old.keys.export([], 365).request
    assert request is not None
    request.sign({"mine.pem": CryptoSigner.generate_ed25519()})


REFUSED: dict[str, tuple[Callable[[OldHub], Any], str]] = {
    "a key of another type": (_elliptic, "expected an Ed25519 key, got ecdsa"),
    "one that was overtaken": (_overtaken, "root: expected version 3, got 2"),
    "one that was signed too late": (_stale, "root: expired"),
    "one whose online key the hub no longer has": (_lost_online_key, "are in .*; put them there"),
    "copies of two different ones": (_copies, "not copies of one signing request"),
    "new offline keys without what they must sign": (_without_targets, "targets: what is in force"),
    "a key that has no role": (_stranger, r"mine\.pem: is the key"),
    "a threshold that cannot be reached": (
        lambda old: old.keys.rotate({"offline": KeyChange(threshold=4)}, 9, to_file=True),
        "expected a threshold of 1 to 3",
    ),
    "a key that is not there": (
        lambda old: old.keys.rotate({"offline": KeyChange(remove=("xyz",))}, 9, to_file=True),
        "offline: expected the beginning of one key id of",
    ),
    "no place for a request": (
        lambda old: old.keys.rotate({"online": KeyChange()}, 9),
        "the offline keys are not on this hub",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_change_of_keys_is_refused_and_nothing_changes(old: OldHub, case: str) -> None:
    attempt, reason = REFUSED[case]
    with pytest.raises(HubFault, match=reason):
        attempt(old)
    verified(old.repository)
    assert old.repository.signer("online").public_key.keyid in old.keys.status().roles[3].keys


def test_no_kill_while_new_keys_come_into_force_leaves_them_half_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before each write in turn: the next process has the old keys, or all of the new."""
    write, seen = metadata_folder.write_atomic, set()
    for kill in range(12):
        old = OldHub(tmp_path / str(kill))
        request = old.signed(
            old.keys.rotate(
                {"online": KeyChange(), "releases": KeyChange()}, 365, to_file=True
            ).request,
            [1, 2],
        )
        left = iter(range(kill, -1, -1))

        def killed(path: Path, raw: bytes, left: Any = left, **more: Any) -> None:
            if next(left) == 0:
                raise KeyboardInterrupt
            write(path, raw, **more)

        monkeypatch.setattr(metadata_folder, "write_atomic", killed)
        done = True
        try:
            old.keys.take([request])
        except KeyboardInterrupt:
            done = False
        monkeypatch.setattr(metadata_folder, "write_atomic", write)
        again = Repository(
            old.repository.files.path.parent, tmp_path / str(kill) / "keys", clock=old.clock
        )
        again.guard.machine = old.machine
        again.recover()
        root = verified(again)["root"]
        seen.add(root)
        again.renew(datetime.datetime.fromtimestamp(old.clock() + DAY, datetime.UTC))
        verified(again)
        assert root == 2 or not done
        if done:
            break
    else:
        pytest.fail("it was never done")
    assert seen == {1, 2}


def test_a_signing_request_says_what_is_signed_and_not_what_somebody_wrote_in_it(
    old: OldHub,
) -> None:
    outcome = old.keys.rotate({"online": KeyChange()}, 365, to_file=True)
    path = old.stick / "r.json"
    assert outcome.request is not None
    outcome.request.write(path, outcome.says)
    document = json.loads(path.read_text())
    document["says"] = ["nothing of importance"]
    targets = Metadata.from_dict(document["next"]["targets"])
    targets.signed.delegations.roles["releases"].paths = ["*/*"]
    document["next"]["targets"] = targets.to_dict()
    path.write_text(json.dumps(document))
    says = "\n".join(said_of(SigningRequest.read(path), old.clock()))
    assert "keys of timestamp: 1 of 1; added" in says
    assert "WARNING: other roles or paths are delegated" in says
    assert "importance" not in says


def test_a_root_that_a_stolen_hub_made_up_is_not_known_to_any_offline_key(old: OldHub) -> None:
    """It lists the owner's keys beside a thief's, so that nothing seems to be added."""
    thief = CryptoSigner.generate_ed25519()
    forged = old.repository.files.read("1.root.json")
    forged.signed.add_key(thief.public_key, "root")
    forged.signed.roles["root"].threshold = 1
    forged.signatures.clear()
    forged.sign(thief)
    targets = old.repository.files.newest("targets")
    request = SigningRequest(
        {"root": forged, "targets": targets},
        {"root": next_root(forged.signed, {}, old.repository.later(VALIDITY["root"]))},
    )
    request.write(old.stick / "r.json", [])
    read = SigningRequest.read(old.stick / "r.json")
    owners = {"1": old.key(1), "2": old.key(2)}
    assert read.unknown(owners) == ["1", "2"]
    honest = old.keys.export([], 365).request
    assert honest is not None
    assert honest.unknown(owners) == []


DAMAGED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "not JSON": lambda document: "{",
    "another file": lambda document: {"format": "x"},
    "no metadata": lambda document: document | {"next": {"root": 7}},
    "a role that nobody signs by hand": lambda document: (
        document | {"next": {"timestamp": document["next"]["root"]}}
    ),
    "a root that its own keys did not sign": lambda document: (
        document | {"current": document["current"] | {"root": document["next"]["root"]}}
    ),
    "nothing in force": lambda document: document | {"current": {}},
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_file_that_is_no_signing_request_is_refused(old: OldHub, case: str) -> None:
    path = old.stick / "r.json"
    request = old.keys.export([], 365).request
    assert request is not None
    request.write(path, [])
    damaged = DAMAGED[case](json.loads(path.read_text()))
    path.write_text(damaged if isinstance(damaged, str) else json.dumps(damaged))
    with pytest.raises(Invalid, match=r"r\.json: "):
        SigningRequest.read(path)


def test_offline_keys_never_overwrite_others(tmp_path: Path) -> None:
    OfflineKeys(tmp_path, 2).make()
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(Conflict, match="keys are never overwritten"):
        OfflineKeys(tmp_path, 3).make()
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
    with pytest.raises(Invalid, match="threshold: expected 1 to 2"):
        OfflineKeys(tmp_path / "x", 2, 3).make()
