"""Download of a release and what belongs to it to the disk: signed, whole, then in their place.

Of the variants of a release only those come that this device may take, and no documents.
What was downloaded before a cut is resumed; files that a release here has too are linked; what is
left comes in the form that costs the fewest bytes (:mod:`edge_sdk.update.forms`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from edge_sdk.contract.manifest import MANIFEST, FileRef
from edge_sdk.errors import UpdateError
from edge_sdk.update.forms import FormFetcher
from edge_sdk.update.packs import fetch_pack, fetch_prior
from edge_sdk.update.slots import Slots, is_whole
from edge_sdk.update.state import SlotRef

if TYPE_CHECKING:
    from edge_sdk.contract.plan import ReleaseRef
    from edge_sdk.hub.client import HubClient
    from edge_sdk.update.trust import ModelTrust


class Downloader:
    """Brings what the plan names to one device; each step may be run again.

    Args:
        model: of the device.
        slots: releases and packs on disk.
        trust: verified metadata.
        client: downloads.
        told: called with the reason where a form could not be used.
    """

    def __init__(
        self,
        model: str,
        slots: Slots,
        trust: ModelTrust,
        client: HubClient,
        told: Callable[[str], None],
    ) -> None:
        self._model = model
        self._slots = slots
        self._trust = trust
        self._client = client
        self._told = told

    def download(self, want: ReleaseRef, here: Sequence[SlotRef]) -> None:
        """Download ``want``, its packs and its personal prior, as far as they are not ``here``.

        Raises:
            HubError: the hub went away or sent something else; what came is kept.
            ReleaseError: it has no variant for this device; only the manifest was downloaded.
            UpdateError: something is not signed as it should be.
        """
        manifest = self._trust.check_release(want)
        self._slots.make_folders()
        if not self._slots.holds_whole(want.manifest):
            self._download_release(want, manifest, here)
        packs = [ref.pack for ref in here if ref.pack]
        features = [ref.features for ref in here if ref.features]
        for file, held in ((want.pack, packs), (want.features, features)):
            if file is not None:
                fetcher = self._fetcher(file.file.sha256, here)
                fetch_pack(self._model, file, held, self._slots, self._trust, fetcher)
        if want.prior is not None:
            fetcher = self._fetcher(want.prior.file.sha256, here)
            fetch_prior(self._model, want.prior, self._slots, self._trust, fetcher)

    def _fetcher(self, key: str, here: Sequence[SlotRef]) -> FormFetcher:
        bases = self._slots.files(here)
        return FormFetcher(self._client, key, self._slots.patches, bases, self._told)

    def _download_release(
        self, want: ReleaseRef, manifest: FileRef, here: Sequence[SlotRef]
    ) -> None:
        folder = self._slots.incoming(want.manifest)
        prefix = f"models/{self._model}/{want.version}"
        fetcher = self._fetcher(want.manifest, here)
        if not is_whole(folder / MANIFEST, manifest):
            fetcher.fetch(f"{prefix}/{MANIFEST}", manifest, folder / MANIFEST)
        release = self._slots.opened(folder)
        for name, ref in release.files.items():
            signed = self._trust.file(f"{prefix}/{name}")
            if signed != ref:
                raise UpdateError("download", f"{prefix}/{name}: not signed as the manifest says")
            place = folder / name
            if not is_whole(place, ref) and not self._slots.reuse(name, ref, place, here):
                fetcher.fetch(f"{prefix}/{name}", ref, place)

    def verify(self, want: ReleaseRef) -> None:
        """Read every byte of the release, once more: in whatever form its files came, linked from
        another release or made of a patch, this is the one gate before it gets its name.

        Raises:
            ReleaseError: a file is missing, or is not what the manifest says.
            UpdateError: it is another release.
        """
        slot = self._slots.slot(SlotRef(want.version, want.manifest))
        staged = slot.release.is_dir()
        folder = slot.release if staged else self._slots.incoming(want.manifest)
        release = self._slots.opened(folder, verify=True)
        if release.digest != want.manifest or release.manifest.model != self._model:
            raise UpdateError("verify", f"{folder.name}: holds another release")

    def stage(self, want: ReleaseRef) -> None:
        """Give it its name."""
        self._slots.stage(want.manifest)
