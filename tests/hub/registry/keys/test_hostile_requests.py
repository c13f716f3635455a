"""Signing requests that somebody altered on their way, or that a stolen hub wrote."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, TargetFile

from cloud_hub.errors import Conflict, Invalid
from cloud_hub.registry import roles
from cloud_hub.registry.keys.changes import next_targets
from cloud_hub.registry.keys.request import SigningRequest
from cloud_hub.registry.keys.service import said_of
from cloud_hub.registry.repository import Repository
from cloud_hub.registry.roles import YEAR
from tests.hub.registry.keys.old_hub import OldHub

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def old(tmp_path: Path) -> OldHub:
    return OldHub(tmp_path)


def through_a_file(old: OldHub, request: SigningRequest, change: Change = id) -> SigningRequest:
    """A request as it arrives after somebody changed its text."""
    path = old.stick / "r.json"
    request.write(path, [])
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    return SigningRequest.read(path)


def made_up(repository: Repository, thief: CryptoSigner) -> SigningRequest:
    """All signatures are there, by the keys of a root that comes along.

    The hub's own online key, which is public, stands in it, or the hub could not sign on.
    """
    online = repository.signer("online").public_key
    first = roles.first_root([thief.public_key], 1, online, repository.later(YEAR))
    second = copy.deepcopy(first)
    second.version = 2
    targets = repository.files.newest("targets").signed
    documents = [first, targets, second, next_targets(targets, {}, repository.later(YEAR)).signed]
    signed: list[Metadata[Any]] = [Metadata(document) for document in documents]
    for metadata in signed:
        metadata.sign(thief)
    return SigningRequest(
        {"root": signed[0], "targets": signed[1]}, {"root": signed[2], "targets": signed[3]}
    )


def test_a_request_that_brings_a_root_of_its_own_is_not_put_in_force(old: OldHub) -> None:
    before = old.versions()
    request = through_a_file(old, made_up(old.repository, CryptoSigner.generate_ed25519()))
    assert not any(missing.count for missing in request.missing())
    with pytest.raises(Conflict, match="root: 0 of 2 by the keys of root 1"):
        old.keys.take([request])
    assert old.versions() == before


@pytest.mark.parametrize("role", ["root", "targets"])
def test_another_key_under_a_known_id_is_refused(old: OldHub, role: str) -> None:
    """Its owner would read that the keys are as before."""

    def exchange(document: dict[str, Any]) -> None:
        signed = document["next"][role]["signed"]
        keys = (signed if role == "root" else signed["delegations"])["keys"]
        thief = CryptoSigner.generate_ed25519().public_key
        keys[next(iter(keys))] = thief.to_dict()

    with pytest.raises(Invalid, match="is not the one of that id"):
        through_a_file(old, _renewal(old), exchange)


def test_whoever_signs_releases_is_told_what_else_they_would_sign(old: OldHub) -> None:
    request = old.keys.export(["releases"], 365).request
    assert request is not None
    says = said_of(through_a_file(old, request), old.clock())
    assert "it lists 0 files, as before" in says

    def slip_in(document: dict[str, Any]) -> None:
        target = TargetFile.from_data("models/m/9.0/manifest.json", b"evil")
        document["next"]["releases"]["signed"]["targets"] = {target.path: target.to_dict()}

    says = said_of(through_a_file(old, request, slip_in), old.clock())
    assert "WARNING: it lists 1 other files ('models/m/9.0/manifest.json')" in "\n".join(says)

    def hide(document: dict[str, Any]) -> None:
        del document["current"]["releases"]

    says = said_of(through_a_file(old, request, hide), old.clock())
    assert "what is in force is not shown" in "\n".join(says)

    def make_up(document: dict[str, Any]) -> None:
        slip_in(document)
        document["current"]["releases"]["signed"]["targets"] = document["next"]["releases"][
            "signed"
        ]["targets"]

    with pytest.raises(Invalid, match="what it says is in force is not signed so"):
        through_a_file(old, request, make_up)


ODD: dict[str, Change] = {
    "a key id that is a number": lambda next_: next_["root"]["signed"]["roles"]["root"].update(
        keyids=[7]
    ),
    "a key that is not listed": lambda next_: next_["root"]["signed"].update(keys={}),
    "targets that delegate nothing": lambda next_: next_["targets"]["signed"].pop("delegations"),
    "targets without plans": lambda next_: next_["targets"]["signed"]["delegations"]["roles"].pop(),
    "what has no canonical form": lambda next_: next_["root"]["signed"].update(
        consistent_snapshot=0.5
    ),
    "a root after the one that follows": lambda next_: next_["root"]["signed"].update(version=3),
}  # fmt: skip


@pytest.mark.parametrize("case", ODD)
def test_what_no_hub_writes_is_refused_when_it_is_read(old: OldHub, case: str) -> None:
    with pytest.raises(Invalid, match=r"r\.json: "):
        through_a_file(old, _renewal(old), lambda document: ODD[case](document["next"]))


def test_a_file_nested_beyond_any_parser_is_no_request(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text("[" * 200_000)
    with pytest.raises(Invalid, match="expected a signing request"):
        SigningRequest.read(path)


def _renewal(old: OldHub) -> SigningRequest:
    request = old.keys.export([], 365).request
    assert request is not None
    return request
