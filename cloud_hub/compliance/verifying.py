"""Whether an archive is what a hub signed: by a public root, with nothing else.

Expiry is not looked at: an archive is evidence of the moment that it names, and is read for years.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cloud_hub.compliance.archive import PAYLOAD, PREDICATE, STATEMENT, unpacked
from cloud_hub.errors import Invalid
from cloud_hub.registry.roles import RELEASES
from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.manifest import MANIFEST, Manifest

if TYPE_CHECKING:
    from tuf.api.metadata import Metadata, Root, Targets

_ROOT: Final = re.compile(r"signatures/([1-9][0-9]{0,8})\.root\.json")


@dataclass(frozen=True)
class VerifiedArchive:
    """What an archive proves.

    Attributes:
        model: name of the line.
        version: of it.
        hub: id of the hub that signed.
        made_at: moment, as ISO 8601 has it.
        made_by: who asked the hub for it.
        manifest: SHA-256 of the release's manifest, which the publisher signed.
        files: what each is, by name.
        limits: sentences on what was left out.
    """

    model: str
    version: str
    hub: str
    made_at: str
    made_by: str
    manifest: str
    files: Mapping[str, str]
    limits: tuple[str, ...]


def verified(raw: bytes, trusted_root: bytes) -> VerifiedArchive:
    """Return what an archive proves.

    Args:
        raw: the archive.
        trusted_root: a root of the hub that the caller trusts; a later one of the archive follows
            it if each was signed by the one before.

    Raises:
        Invalid: it proves nothing; says why.
    """
    from securesystemslib.exceptions import Error
    from tuf.api.exceptions import RepositoryError

    files = unpacked(raw)
    try:
        root = _newest_root(files, trusted_root)
        told = _statement(files, root)
        _check_digests(files, told)
        manifest = _check_release(files, root, told)
    except (Error, RepositoryError) as error:
        raise Invalid(f"archive: a signature is wrong; {error}") from error
    except (KeyError, TypeError, ValueError, ContractError) as error:
        raise Invalid(
            f"archive: expected one of edge-hub export compliance; {error!r:.200}"
        ) from error
    about = told["predicate"]
    return VerifiedArchive(
        about["model"], about["version"], about["hub"], about["madeAt"], about["madeBy"], manifest,
        {name: each["what"] for name, each in about["files"].items()}, tuple(about["limits"]),
    )  # fmt: skip


def _newest_root(files: Mapping[str, bytes], trusted: bytes) -> Metadata[Root]:
    from tuf.api.metadata import Metadata, Root

    root = Metadata[Root].from_bytes(trusted)
    root.verify_delegate("root", root)
    found = {int(m[1]): files[name] for name in files if (m := _ROOT.fullmatch(name))}
    if not found or root.signed.version > max(found):
        raise Invalid(
            f"root: expected one that the archive's follows (up to {max(found, default=0)}), got "
            f"version {root.signed.version}; verify with the root of that time"
        )
    for version in range(root.signed.version + 1, max(found) + 1):
        following = Metadata[Root].from_bytes(found[version])
        root.verify_delegate("root", following)
        following.verify_delegate("root", following)
        if following.signed.version != version:
            raise Invalid(f"archive: {version}.root.json has another version inside")
        root = following
    return root


def _statement(files: Mapping[str, bytes], root: Metadata[Root]) -> dict[str, Any]:
    from securesystemslib.dsse import Envelope

    envelope = Envelope.from_dict(json.loads(files[STATEMENT]))
    if envelope.payload_type != PAYLOAD:
        raise Invalid(f"archive: expected a statement of type {PAYLOAD}")
    role = root.signed.roles["timestamp"]
    keys = [root.signed.keys[keyid] for keyid in role.keyids]
    envelope.verify(keys, role.threshold)
    told: dict[str, Any] = json.loads(envelope.payload)
    if told["predicateType"] != PREDICATE:
        raise Invalid(f"archive: expected a statement of {PREDICATE}, got {told['predicateType']}")
    return told


def _check_digests(files: Mapping[str, bytes], told: Mapping[str, Any]) -> None:
    signed = {each["name"]: each["digest"]["sha256"] for each in told["subject"]}
    there = {n: hashlib.sha256(raw).hexdigest() for n, raw in files.items() if n != STATEMENT}
    for name in sorted({*signed, *there}):
        if name not in there:
            raise Invalid(f"archive: {name} is signed, and missing")
        if name not in signed:
            raise Invalid(f"archive: {name} was added after it was signed")
        if signed[name] != there[name]:
            raise Invalid(f"archive: {name} was changed after it was signed")


def _check_release(
    files: Mapping[str, bytes], root: Metadata[Root], told: Mapping[str, Any]
) -> str:
    """Return the digest of the manifest, once the publisher is known to have signed it."""
    from tuf.api.metadata import Metadata, Targets

    targets = Metadata[Targets].from_bytes(files["signatures/targets.json"])
    root.verify_delegate("targets", targets)
    releases: Metadata[Targets] = Metadata.from_bytes(files[f"signatures/{RELEASES}.json"])
    targets.verify_delegate(RELEASES, releases)
    model, version = told["predicate"]["model"], told["predicate"]["version"]
    raw = files[f"release/{MANIFEST}"]
    listed = releases.signed.targets[f"models/{model}/{version}/{MANIFEST}"]
    listed.verify_length_and_hashes(raw)
    manifest = Manifest.from_json(raw)
    if (manifest.model, manifest.version) != (model, version):
        raise Invalid(f"archive: the manifest is of {manifest.model} {manifest.version}")
    for name in files:
        own = name.removeprefix("release/")
        if own in (name, MANIFEST):
            continue
        if hashlib.sha256(files[name]).hexdigest() != manifest.files[own].sha256:
            raise Invalid(f"archive: {name} is not the file that the publisher signed")
    return hashlib.sha256(raw).hexdigest()
