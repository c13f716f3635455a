"""The pack of answers by entity on one device: which, whether there is room, and how it comes.

It is no part of a release, so that answers may be renewed every few hours, and one that is too
large costs no update of the model. Invariants:

* What is put in place has the digest that a publisher signed, by way of the index that names it.
* Until the next pack is whole and opened, the one before answers, and is the file on the disk.
* It is never downloaded where it would leave less than :attr:`DeviceConfig.free_bytes` free.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edge_sdk.contract.entity_index import EntityIndex, EntityShare, delta_path, pack_path
from edge_sdk.errors import EdgeError, HubUnreachable, PackError, UpdateError, reason_of
from edge_sdk.hub.transfers import part_of
from edge_sdk.packs.delta import apply_delta, read_delta
from edge_sdk.packs.entity_predictions import EntityPredictions
from edge_sdk.system.files import make_folder, remove
from edge_sdk.system.logs import Log
from edge_sdk.update.slots import is_whole

if TYPE_CHECKING:
    from edge_sdk.hub.client import HubClient
    from edge_sdk.update.model_state import ModelState

_log = Log(__name__)
_KEY: Final = "entities"
STEP: Final = "entities"

LARGEST_DELTA: Final = 128 << 20
"""Bytes of a pack that is made of a delta: both are in memory meanwhile. Larger ones come whole."""

Refusal = Callable[[], str | None]
"""Says why nothing may be downloaded now; ``None`` if it may."""


@dataclass(frozen=True)
class PackHolder:
    """Who a device is, as far as its share goes by it."""

    model: str
    device: str
    attributes: Mapping[str, str]


def room_refusal(
    index: EntityIndex, share: EntityShare, coming: int, free: int, left: int
) -> str | None:
    """Return why a pack is not downloaded; ``None`` if there is room for it. Pure.

    Args:
        index: that names it.
        share: of this device.
        coming: bytes that it would take while the one before is still there.
        free: bytes of the disk.
        left: bytes that others are to have.
    """
    if free - coming >= left:
        return None
    less = (
        "give devices a share of the entities (entities: in the batch job)"
        if index.attribute is None
        else f"{index.attribute} is too coarse a share, or make room"
    )
    return (
        f"generation {index.generation} of {share.entities:,} entities takes {_mb(coming)} MB, and "
        f"of {_mb(free)} MB free {_mb(left)} are left to others; {less}"
    )


class EntityPacks:
    """Brings the pack of this device's share, and keeps it.

    Args:
        holder: who this device is.
        store: remembers which pack is here, in the model's folder.
        client: downloads.
        left: bytes that stay free on the disk.
        use: answers from a pack from now on, or from none.
        refusal: why nothing may be downloaded now.
        told: called once with each reason for which a generation did not come.
    """

    def __init__(
        self,
        holder: PackHolder,
        store: ModelState,
        client: HubClient,
        *,
        left: int,
        use: Callable[[EntityPredictions | None], None],
        refusal: Refusal,
        told: Callable[[str], None],
    ) -> None:
        self._holder = holder
        self._folder = store.folder / "entities"
        self._store = store
        self._client = client
        self._left = left
        self._use = use
        self._refusal = refusal
        self._told = told
        self._held: EntityPredictions | None = None
        self._sha256: str | None = None
        self._why: str | None = None
        self._said: set[str] = set()

    def restore(self) -> None:
        """Answer from what the last run left."""
        sha256 = self._store.get(_KEY)
        if not isinstance(sha256, str):
            return
        try:
            self._hold(EntityPredictions.open(self._file(sha256), self._holder.model), sha256)
        except PackError as error:
            _log.warning("answers by entity, to be fetched again: %s", error)

    def status(self) -> dict[str, Any] | None:
        """Return which answers are here and why no newer ones; ``None`` where there are none."""
        if self._held is None:
            return None if self._why is None else {"generation": None, "waits": self._why}
        about, header = self._held.about, self._held.pack.header
        return {
            "job": about.job,
            "generation": about.generation,
            "entities": header.count,
            "share": about.share,
            "version": header.answered_by,
            "computed_at": about.computed_at,
            "expires": header.expires,
            "damaged": self._held.pack.damage,
            "waits": self._why,
        }

    def follow(self, index: EntityIndex | None) -> None:
        """Have the pack that an index in force names for this device.

        Args:
            index: verified; ``None`` where the hub has none.

        Raises:
            HubError: the hub went away, or sent something else; what came is kept.
            UpdateError: the disk takes nothing.
        """
        share = (
            None if index is None else index.share_of(self._holder.device, self._holder.attributes)
        )
        if index is None or share is None:
            self._why = None if index is None else self._no_share(index)
            self._let_go()
            return
        sound = self._held is not None and self._held.pack.damage is None
        if sound and self._sha256 == share.file.sha256:
            self._why = None
            return
        self._why = self._why_not(index, share)
        if self._why is None:
            try:
                self._bring(index.model, share, sound=sound)
            except OSError as error:
                raise UpdateError(STEP, f"trouble with the disk; {reason_of(error)}") from error
        elif self._why not in self._said:
            self._said.add(self._why)
            stays = "none" if self._held is None else str(self._held.about.generation)
            _log.warning("answers by entity: %s; generation %s stays", self._why, stays)
            self._told(f"answers by entity: {self._why}; generation {stays} stays")

    def _why_not(self, index: EntityIndex, share: EntityShare) -> str | None:
        try:
            make_folder(self._folder)
            free = shutil.disk_usage(self._folder).free
        except OSError as error:
            raise UpdateError(STEP, f"trouble with the disk; {reason_of(error)}") from error
        part = part_of(self._file(share.file.sha256))
        came = part.stat().st_size if part.exists() else 0
        coming = max(0, share.file.length - came)
        return room_refusal(index, share, coming, free, self._left) or self._refusal()

    def _no_share(self, index: EntityIndex) -> str:
        value = self._holder.attributes.get(index.attribute or "")
        return f"no entities for this device: its {index.attribute} is {value!r:.60}"

    def _bring(self, model: str, share: EntityShare, *, sound: bool) -> None:
        sha256 = share.file.sha256
        path = self._file(sha256)
        if not is_whole(path, share.file):
            remove(path)
            if not (sound and self._made(model, share, path)):
                self._client.download(pack_path(model, sha256), share.file, path)
        # Every byte was compared with the digest: what is wrong with it now, its maker did.
        pack = EntityPredictions.open(path, self._holder.model)
        self._hold(pack, sha256)
        self._store.put(_KEY, sha256)
        self._clean()
        _log.info(
            "answers by entity: generation %d, %d entities", pack.about.generation, len(pack.pack)
        )

    def _made(self, model: str, share: EntityShare, path: Path) -> bool:
        """Make a pack of the one that is here; return whether that could be done."""
        if share.delta is None or share.base != self._sha256 or share.base is None:
            return False
        if share.file.length > LARGEST_DELTA or part_of(path).exists():
            return False
        delta = self._folder / f"{share.file.sha256}.delta"
        try:
            target = delta_path(model, share.base, share.file.sha256)
            self._client.download(target, share.delta, delta)
            if read_delta(delta).result != share.file:
                raise PackError(f"{delta}: makes another pack than the index names")
            apply_delta(self._file(share.base), delta, path)
        except HubUnreachable:
            raise  # its part waits
        except EdgeError as error:
            _log.info("answers by entity: %s; the pack is downloaded whole", error)
            return False
        delta.unlink(missing_ok=True)
        return True

    def _hold(self, pack: EntityPredictions, sha256: str) -> None:
        self._held, self._sha256 = pack, sha256
        self._use(pack)

    def _let_go(self) -> None:
        """Do without: the hub has no answers by entity for this device any more."""
        if self._held is not None or self._store.get(_KEY) is not None:
            self._use(None)
            self._held = self._sha256 = None
            self._store.put(_KEY, None)
            self._clean()

    def _clean(self) -> None:
        """Remove every other file; whoever still reads one goes on reading it."""
        if not self._store.on_disk:  # the one on the disk might name what would be removed
            return
        for path in self._folder.glob("*"):
            if self._sha256 is None or path != self._file(self._sha256):
                remove(path)

    def _file(self, sha256: str) -> Path:
        return self._folder / f"{sha256}.pack"


def _mb(count: int) -> str:
    return f"{count / 1e6:.1f}"
