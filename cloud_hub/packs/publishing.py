"""Publishing packs: each is signed, with a delta for devices that hold the one before.

Invariant: the delta is only ever an offer. The plan names the whole pack, and a device that cannot
use the delta downloads that.
"""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tuf.api.metadata import TargetFile

from cloud_hub.errors import NotFound
from cloud_hub.plans.service import Plans
from cloud_hub.registry import signing
from cloud_hub.registry.own_publishing import publish_on_newest
from cloud_hub.registry.repository import Repository
from cloud_hub.registry.roles import RELEASES
from cloud_hub.registry.service import Registry
from edge_sdk.contract.manifest import FileRef
from edge_sdk.contract.pack_delta import delta_target
from edge_sdk.contract.plan import PackRef, ReleaseRef
from edge_sdk.errors import PackError
from edge_sdk.packs.delta import write_delta

Kind = Callable[[ReleaseRef], PackRef | None]
"""Gives the pack of one kind that a plan names for a release."""

ANSWERS: Final[Kind] = operator.attrgetter("pack")
FEATURES: Final[Kind] = operator.attrgetter("features")


@dataclass(frozen=True)
class PublishedPack:
    """A signed pack, and the bytes of the delta to it (0: there is none)."""

    pack: PackRef
    delta: int


def publish_pack(
    registry: Registry, plans: Plans, model: str, path: Path, kind: Kind
) -> PublishedPack:
    """Sign a pack, and the delta from the one of its kind that was in force before.

    Args:
        registry: where releases are signed and blobs stored.
        plans: whose history names the pack before.
        model: that the pack is for.
        path: file of the pack; the delta is written beside it.
        kind: precomputed answers or batch features.

    Raises:
        Invalid: this hub holds no releases key.
        Conflict: somebody else published at the same moment.
    """
    raw = path.read_bytes()
    pack = PackRef(FileRef(len(raw), registry.blobs.put(raw)))
    blobs = {pack.target(model): raw}
    base = _in_force_before(plans, model, pack, kind)
    delta = _delta(registry.repository, model, base, path) if base else None
    if base and delta:
        registry.blobs.put(delta)
        blobs[delta_target(model, base.file.sha256, pack.file.sha256)] = delta
    sign_files(registry, blobs)
    return PublishedPack(pack, len(delta or b""))


def pack_file(
    repository: Repository, model: str, pack: PackRef
) -> contextlib.AbstractContextManager[Path]:
    """Give the file of a published pack while a block runs.

    Args:
        repository: that lists it.
        model: that the pack is for.
        pack: as a plan names it.

    Raises:
        NotFound: there is none.
    """
    folder, _, name = pack.target(model).rpartition("/")
    return repository.targets.local_file(f"{folder}/{pack.file.sha256}.{name}")


def _in_force_before(plans: Plans, model: str, pack: PackRef, kind: Kind) -> PackRef | None:
    """Return the newest other pack that a plan named: most devices hold that one."""
    named = (kind(plan.serving) for plan in plans.history(model))
    return next((other for other in named if other not in (None, pack)), None)


def _delta(repository: Repository, model: str, base: PackRef, path: Path) -> bytes | None:
    """Return the delta that makes the pack at ``path`` of ``base``, if it is worth having."""
    delta = path.with_name("new.delta")
    try:
        with pack_file(repository, model, base) as before:
            if write_delta(before, path, delta) is None:
                return None
    except (NotFound, PackError):
        return None  # the one before is gone or of another format: devices download the whole
    return delta.read_bytes()


def sign_files(registry: Registry, blobs: Mapping[str, bytes]) -> None:
    """Sign files that plans name, and let devices download them.

    Args:
        registry: where releases are signed; it has the files among its blobs.
        blobs: content of each, by the path of the target.

    Raises:
        Invalid: this hub holds no releases key.
        Conflict: nothing is signed for now.
    """
    repository = registry.repository
    targets = {path: TargetFile.from_data(path, raw) for path, raw in blobs.items()}
    signer = repository.signer(RELEASES)
    publish_on_newest(
        repository,
        lambda newest: signing.add_targets(newest, targets, signer),
        lambda raw: repository.accept_releases(raw, registry.blobs.get),
    )
