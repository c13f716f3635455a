"""The private keys that are on the hub: PEM files in a folder, found by what they are.

A role is signed with whichever of its keys are here, whatever the files are called. A key that will
take the place of another waits as ``NAME.next.pem`` until metadata lists it, so that a hub which is
killed in between, or never gets the signatures that it waits for, goes on with the old one.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from securesystemslib.signer import CryptoSigner, Key, Signer, SSlibKey

from cloud_hub.errors import Conflict, Invalid
from cloud_hub.registry.signing import load_signer
from edge_sdk.system.files import READABLE, write_atomic

NEXT: Final = ".next.pem"


class KeyFolder:
    """The keys in one folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def held(self) -> dict[str, Signer]:
        """Return the keys that are here, by key id; files that are no keys are left out."""
        found = {}
        for path in sorted(self.path.glob("*.pem")):
            try:
                signer = load_signer(path)
            except Invalid:
                continue
            found[signer.public_key.keyid] = signer
        return found

    def signer(self, name: str) -> Signer:
        """Return the key in the file ``NAME.pem``; raises Invalid."""
        return load_signer(self.path / f"{name}.pem")

    def new(self, name: str) -> Signer:
        """Make a key that takes the place of ``NAME.pem`` once metadata lists it."""
        first = not (self.path / f"{name}.pem").exists()
        return new_key(self.path / (f"{name}.pem" if first else name + NEXT), replace=True)

    def adopt(self, listed: Collection[str]) -> None:
        """Give keys that waited their names, if metadata lists them now.

        Args:
            listed: ids of all keys that have a role.
        """
        for path in self.path.glob(f"*{NEXT}"):
            if load_signer(path).public_key.keyid in listed:
                path.replace(path.with_name(path.name.removesuffix(NEXT) + ".pem"))


@dataclass(frozen=True)
class OfflineKeys:
    """Offline keys to be made.

    Attributes:
        folder: that they are put into, as ``offline-1.pem`` and so on; a stick, say.
        count: number of them.
        threshold: number of signatures that it takes.
    """

    folder: Path
    count: int = 1
    threshold: int = 1

    def make(self) -> list[Signer]:
        """Make the keys, each with its public part beside it.

        Raises:
            Invalid: the keys could not reach the threshold.
            Conflict: there is such a file already; no key was made.
        """
        if not 1 <= self.threshold <= self.count:
            raise Invalid(
                f"threshold: expected 1 to {self.count}, the number of keys, got {self.threshold}"
            )
        paths = [self.folder / f"offline-{i + 1}.pem" for i in range(self.count)]
        for path in paths:
            _check_new(path)
        signers = [new_key(path) for path in paths]
        for path in paths:
            write_atomic(path.with_suffix(".pub"), _public_pem(path).encode(), mode=READABLE)
        return signers


def public_key(path: Path) -> Key:
    """Return the public key in a PEM file, be it public or private; raises Invalid."""
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        raw = path.read_bytes()
        if b"PRIVATE KEY" in raw:
            return load_signer(path).public_key
        key: Any = load_pem_public_key(raw)
        return SSlibKey.from_crypto(key)
    except OSError as error:
        raise Invalid(f"{path}: expected a public key in PEM; {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Invalid(f"{path}: expected a public key in PEM, such as offline-1.pub") from error


def _check_new(path: Path) -> None:
    if path.exists():
        raise Conflict(f"{path}: exists already; keys are never overwritten, name another folder")


def _public_pem(path: Path) -> str:
    """Return the public part of a private key in PEM."""
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    kind = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, kind).decode()


def new_key(path: Path, *, replace: bool = False) -> Signer:
    """Make a private key (Ed25519, PEM) at ``path``, for its owner's eyes only.

    Args:
        path: of the file; missing folders are made.
        replace: what is there may be overwritten.

    Raises:
        Conflict: there is a file already.
    """
    if not replace:
        _check_new(path)
    signer = CryptoSigner.generate_ed25519()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, signer.private_bytes)
    return signer
