"""Files of releases that are here and were found damaged, and how they are brought again.

This is for what serves, or is held, in spite of the damage. A slot that cannot be loaded for it is
here no longer (:meth:`Updater.discard`), and comes as any update does.

Invariants:

* A file is replaced by one rename, by bytes that a publisher signed. Until then the damaged one
  stays: at every moment the release is as good as it was, or better.
* Nothing here changes which release serves.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edge_sdk.contract.manifest import MANIFEST, FileRef
from edge_sdk.errors import UpdateError, reason_of
from edge_sdk.system.files import make_folder, remove
from edge_sdk.system.logs import Log
from edge_sdk.update.forms import FormFetcher
from edge_sdk.update.packs import fetch_pack, fetch_prior
from edge_sdk.update.slots import Slots, is_whole
from edge_sdk.update.state import SlotRef

if TYPE_CHECKING:
    from edge_sdk.contract.plan import ReleaseRef
    from edge_sdk.hub.client import HubClient
    from edge_sdk.update.trust import ModelTrust

_log = Log(__name__)


class Repairs:
    """The slots of one device that need one.

    Args:
        model: of the device.
        slots: releases and packs on disk.
        trust: verified metadata.
        client: downloads.
    """

    def __init__(self, model: str, slots: Slots, trust: ModelTrust, client: HubClient) -> None:
        self._model = model
        self._slots = slots
        self._trust = trust
        self._client = client
        self._needed: set[SlotRef] = set()

    def add(self, slot: SlotRef) -> None:
        """Note that a file of ``slot`` is damaged or missing."""
        self._needed.add(slot)

    def needs(self, slot: SlotRef) -> bool:
        """Return whether a file of ``slot`` is damaged."""
        return slot in self._needed

    def run(self, want: ReleaseRef) -> None:
        """Bring every damaged file of ``want`` again.

        Raises:
            HubError: the hub went away or sent something else; what came is kept.
            UpdateError: something is not signed as it should be, or the disk takes nothing.
        """
        slot = SlotRef.of(want)
        try:
            self._bring(want)
        except OSError as error:
            raise UpdateError("repair", f"trouble with the disk; {reason_of(error)}") from error
        self._needed.discard(slot)
        _log.info("the damaged files of release %s were brought again", want.version)

    def _bring(self, want: ReleaseRef) -> None:
        folder = self._slots.slot(SlotRef.of(want)).release
        self._slots.make_folders()
        make_folder(folder)
        prefix = f"models/{self._model}/{want.version}"
        self._fetch(f"{prefix}/{MANIFEST}", self._trust.check_release(want), folder / MANIFEST)
        release = self._slots.opened(folder, digest=want.manifest)
        for name, ref in release.files.items():
            if self._trust.file(f"{prefix}/{name}") != ref:
                raise UpdateError("repair", f"{prefix}/{name}: not signed as the manifest says")
            self._fetch(f"{prefix}/{name}", ref, folder / name)
        for pack in want.packs:
            _make_way(self._slots.pack(pack.file.sha256))
            fetcher = self._fetcher(pack.file)
            fetch_pack(self._model, pack, (), self._slots, self._trust, fetcher)
        if want.prior is not None:
            _make_way(self._slots.prior(want.prior.file.sha256))
            fetcher = self._fetcher(want.prior.file)
            fetch_prior(self._model, want.prior, self._slots, self._trust, fetcher)

    def _fetcher(self, file: FileRef) -> FormFetcher:
        # Nothing that is here is a base: it may be what is damaged.
        return FormFetcher(self._client, file.sha256, self._slots.patches, {}, _log.info)

    def _fetch(self, target: str, ref: FileRef, place: Path) -> None:
        if not is_whole(place, ref):
            _make_way(place)
            self._client.download(target, ref, place)


def _make_way(place: Path) -> None:
    """Remove a folder where a file belongs: no rename replaces it."""
    if place.is_dir():
        remove(place)
