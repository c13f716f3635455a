"""Making the packs of a generation: sorted by share, built, put where devices download them.

Nothing is signed and no table is written here, so it may go on beside the loop; what nobody signs
in the end is removed with the next index.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cloud_hub.batch.shares import LABEL, PackOrder, Share, spooled, write_shares
from cloud_hub.errors import NotFound
from cloud_hub.storage.target_place import place_of
from edge_sdk.contract.entity_index import EntityIndex, EntityShare, delta_path, pack_path
from edge_sdk.contract.manifest import FileRef
from edge_sdk.contract.pack import EntityPackInfo
from edge_sdk.errors import PackError
from edge_sdk.packs.delta import write_delta
from edge_sdk.packs.entity_predictions import ITEMS, SCORES
from edge_sdk.system.files import sha256_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloud_hub.batch.generations import Generation
    from cloud_hub.batch.publishing import DuePacks
    from cloud_hub.engine.apart import Cancelling
    from cloud_hub.engine.engine import Engine
    from cloud_hub.registry.service import Registry
    from edge_sdk.contract.manifest import Manifest

LARGEST_DELTA: Final = 128 << 20
"""Bytes of a pack that a delta is made to: devices hold both in memory while they apply it."""


class PackMaking:
    """Makes packs by entity.

    Args:
        registry: releases, and where their files lie.
        engine: that builds packs.
    """

    def __init__(self, registry: Registry, engine: Engine) -> None:
        self._registry = registry
        self.engine = engine
        self._repository = registry.repository

    def make(
        self, model: str, due: DuePacks, before: EntityIndex | None, going: Cancelling
    ) -> dict[str, EntityShare]:
        """Make the packs of a generation, and put them where devices download them."""
        record = due.generation.record
        manifest = self._registry.release(record.line, record.version).manifest
        with tempfile.TemporaryDirectory(prefix="entities-") as scratch:
            folder = Path(scratch)
            shares = spooled(
                due.generation, folder, attribute=due.attribute,
                classes=manifest.signature.classes, most=due.job.pack_entries, going=going,
            )  # fmt: skip
            made: dict[str, EntityShare] = {}
            path, ordered = folder / "new.pack", sorted(shares.items())
            orders = [
                (_order(model, due, manifest, share, value), share.file) for value, share in ordered
            ]
            written = write_shares(self.engine, path, orders, going)
            for (value, share), _ in zip(ordered, written, strict=True):
                base = before.shares.get(value) if before is not None else None
                made[value] = self._put(model, path, share, base)
        return made

    def _put(self, model: str, path: Path, share: Share, base: EntityShare | None) -> EntityShare:
        """Put a pack where devices download it, and the delta to it."""
        targets = self._repository.targets
        file = FileRef(path.stat().st_size, sha256_file(path))
        targets.put(place_of(pack_path(model, file.sha256), file.sha256), path, sha256=file.sha256)
        small = base is not None and max(file.length, base.file.length) <= LARGEST_DELTA
        if base is None or not small or base.file == file:
            return EntityShare(file, share.entities)
        delta = path.with_name("new.delta")
        try:
            with targets.local_file(
                place_of(pack_path(model, base.file.sha256), base.file.sha256)
            ) as old:
                if write_delta(old, path, delta) is None:
                    return EntityShare(file, share.entities)
        except (NotFound, PackError):
            return EntityShare(file, share.entities)
        ref = FileRef(delta.stat().st_size, sha256_file(delta))
        targets.put(place_of(delta_path(model, base.file.sha256, file.sha256), ref.sha256), delta)
        return EntityShare(file, share.entities, base.file.sha256, ref)


def _order(model: str, due: DuePacks, manifest: Manifest, share: Share, value: str) -> PackOrder:
    """Return what the pack of a share says."""
    job, record, signature = due.job, due.generation.record, manifest.signature
    layout = due.generation.layout
    about = EntityPackInfo(
        record.job,
        record.id,
        record.computed_at or 0.0,
        classes=() if layout.top else signature.classes,
        threshold=signature.threshold,
        top=layout.top,
        share=None if due.attribute is None else value,
        default=job.default,
        default_items=job.default_items,
    )
    return PackOrder(
        model, record.version, record.digest, f"{record.line} {record.version}", about,
        int(record.valid_until or 0), layout, tuple(names_of(due.generation, signature.classes)),
        share.width, share.plain,
    )  # fmt: skip


def names_of(generation: Generation, classes: Sequence[Any]) -> list[str]:
    """Return the names of the arrays that are stored of a generation, in order."""
    if generation.layout.top:
        return [ITEMS, SCORES]
    names = [value.name for value in generation.layout.values]
    if not classes or "prediction" not in names:
        return names
    return [*(name for name in names if name != "prediction"), LABEL]
