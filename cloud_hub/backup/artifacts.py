"""Artifacts on their way from one store to another, each with the digest that its name has."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Final

from cloud_hub.backup.manifest import SavedFile
from cloud_hub.errors import Invalid, NotFound
from cloud_hub.storage.artifact_store import ArtifactStore
from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.names import check_digest

KINDS: Final = ("blobs", "targets")
"""Stores whose content cannot be made again; forms can."""


def copy_new(
    source: ArtifactStore, target: ArtifactStore, known: dict[str, SavedFile]
) -> Iterator[str]:
    """Copy what is not known yet; yield the names.

    Args:
        source: may change meanwhile; what is deleted there before its turn is left out.
        target: to copy into.
        known: what was copied, by name; it grows.

    Raises:
        Invalid: the source has something else than its name says.
    """
    for name in source.list():
        if name in known:
            continue
        counted = _Counted()
        try:
            with source.open(name) as chunks:
                target.put(name, counted.of(chunks), sha256=digest_in(name))
        except NotFound:
            continue
        known[name] = counted.saved()
        yield name


def check_same(target: ArtifactStore, known: dict[str, SavedFile]) -> int:
    """Read everything back and compare it; return the number of artifacts.

    Raises:
        Invalid: one is missing or another one.
    """
    for name, saved in known.items():
        if not has(target, name, saved):
            raise Invalid(f"{name}: is not what was copied; the store lost or changed it")
    return len(known)


def has(store: ArtifactStore, name: str, saved: SavedFile) -> bool:
    """Return whether a store has an artifact with this very content."""
    counted = _Counted()
    try:
        with store.open(name) as chunks:
            for _ in counted.of(chunks):
                pass
    except NotFound:
        return False
    return counted.saved() == saved


def copied_before(source: ArtifactStore, target: ArtifactStore) -> dict[str, SavedFile]:
    """Return what an attempt that was killed has copied already, compared with the source."""
    there, known = set(target.list()), {}
    for name in source.list():
        if name in there:
            counted = _Counted()
            with source.open(name) as chunks:
                for _ in counted.of(chunks):
                    pass
            if has(target, name, counted.saved()):
                known[name] = counted.saved()
    return known


def digest_in(name: str) -> str | None:
    """Return the SHA-256 that the name of an artifact begins with, if there is one."""
    digest = name.rpartition("/")[2].partition(".")[0]
    try:
        check_digest("artifact", digest)
    except ContractError:
        return None
    return digest


class _Counted:
    """The length and digest of content that passes by."""

    def __init__(self) -> None:
        self._digest, self._bytes = hashlib.sha256(), 0

    def of(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._digest.update(chunk)
            self._bytes += len(chunk)
            yield chunk

    def saved(self) -> SavedFile:
        return SavedFile(self._bytes, self._digest.hexdigest())


Progress = Callable[[str], object]
"""Told what is done now, in a few words."""
