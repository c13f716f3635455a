"""The publisher's side of a release: adding targets to the signed ``releases`` metadata.

Pure functions over metadata; whoever holds the releases key (a person, CI, or the hub's runs in the
embedded default) calls them.
"""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from securesystemslib.signer import CryptoSigner, Signer
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, TargetFile, Targets

from cloud_hub.errors import Conflict, Invalid
from cloud_hub.registry.roles import YEAR
from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.manifest import MANIFEST
from edge_sdk.contract.names import check_digest

if TYPE_CHECKING:
    from edge_sdk.model.release import Release


def load_signer(path: Path) -> Signer:
    """Load the private key in the PEM file ``path``.

    Raises:
        Invalid: there is no key, or it is locked.
    """
    # Loaded here: a client that only reads does not pay for it.
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key: Any = load_pem_private_key(path.read_bytes(), password=None)
        return CryptoSigner(key)
    except OSError as error:
        raise Invalid(f"{path}: expected a private key in PEM; {error.strerror}") from error
    except TypeError as error:  # what the library says to a key that wants a passphrase
        raise Invalid(
            f"{path}: is locked with a passphrase; unlock a copy for as long as you sign: "
            f"openssl pkey -in {path} -out FILE"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Invalid(f"{path}: expected an ed25519 private key in PEM") from error


def release_targets(release: Release) -> dict[str, Path]:
    """Return the files of ``release`` by their target paths."""
    manifest = release.manifest
    prefix = f"models/{manifest.model}/{manifest.version}"
    return {f"{prefix}/{name}": release.folder / name for name in (*manifest.files, MANIFEST)}


def add_release(
    releases: Metadata[Targets], release: Release, signer: Signer, *, now: float | None = None
) -> bytes:
    """Return ``releases`` with the files of a release and the next counter, signed.

    Args:
        releases: newest metadata; it is changed.
        release: folder of the version.
        signer: the releases key.
        now: Unix seconds; default the time of this machine.

    Raises:
        Conflict: the version was published before, with other bytes.
    """
    targets = releases.signed.targets
    path = f"models/{release.manifest.model}/{release.manifest.version}/{MANIFEST}"
    published = targets.get(path)
    if published is not None and published.hashes["sha256"] != release.digest:
        raise Conflict(f"{path}: this version is published already, with other content")
    # One counter over all models: it rises with every release that is signed.
    counter = 1 + max((counter_of(t) for t in targets.values()), default=0)
    added = {}
    for name, file in release_targets(release).items():
        target = TargetFile.from_file(name, str(file))
        # The manifest binds the other files by their hashes, so it alone carries the counter.
        if name == path:
            target.unrecognized_fields["custom"] = {"edge": {"counter": counter}}
        added[name] = target
    return add_targets(releases, added, signer, now=now)


def add_targets(
    releases: Metadata[Targets],
    added: Mapping[str, TargetFile],
    signer: Signer,
    *,
    now: float | None = None,
) -> bytes:
    """Return ``releases`` with more targets and a year of validity, signed.

    Args:
        releases: newest metadata; it is changed.
        added: targets by their paths.
        signer: the releases key.
        now: Unix seconds; default the time of this machine.
    """
    signed = releases.signed
    signed.targets.update(added)
    signed.version += 1
    moment = datetime.datetime.fromtimestamp(time.time() if now is None else now, datetime.UTC)
    signed.expires = moment.replace(microsecond=0) + YEAR
    releases.sign(signer)
    return releases.to_bytes()


def floor_target(model: str, floor: int) -> tuple[TargetFile, bytes]:
    """Return the target, and its content, that forbids releases with a counter below ``floor``."""
    raw = json.dumps({"model": model, "floor": floor}).encode()
    return TargetFile.from_data(f"models/{model}/floor.json", raw), raw


def counter_of(target: TargetFile) -> int:
    """Return the release counter of a manifest target; 0 for others."""
    custom = target.unrecognized_fields.get("custom") or {}
    return int(custom.get("edge", {}).get("counter", 0))


def parse_releases(raw: bytes) -> Metadata[Targets]:
    """Parse ``releases`` metadata, without verifying any signature.

    Raises:
        Invalid: it is none, or a target has no SHA-256 that could name its file.
    """
    try:
        metadata = Metadata[Targets].from_bytes(raw)
    except RepositoryError as error:
        raise Invalid(f"releases: expected signed metadata; {error}") from error
    if not isinstance(metadata.signed, Targets):
        raise Invalid("releases: expected metadata of type targets")
    for path, target in metadata.signed.targets.items():
        sha256_of(path, target)
    return metadata


def sha256_of(path: str, target: TargetFile) -> str:
    """Return the SHA-256 of a target, safe in the name of a file.

    Args:
        path: of the target, for the message.
        target: as somebody signed it, or not.

    Raises:
        Invalid: it has none, or what stands there is none: a path, say.
    """
    digest = target.hashes.get("sha256")
    if digest is None:
        others = ", ".join(sorted(target.hashes))[:80]
        raise Invalid(f"{path}: expected a SHA-256, got {others} only; sign it with SHA-256")
    try:
        check_digest(path, digest)
    except ContractError as error:
        raise Invalid(str(error)) from error
    return digest
