"""Releases and packs of one model on the device's disk, each named by its digest.

Layout, in the model's folder below the state folder::

    releases/<sha256 of manifest>/     a whole, verified release; in ``.choice.json`` which variant
                                       serves here on which provider, and why
    releases/.<sha256>.new/            a download in progress
    packs/<sha256>.pack                a whole, verified pack
    packs/<sha256>.prior               a whole, verified personal prior
    packs/<sha256>-<sha256>.delta      how to make one of another, while it is downloaded
    patches/<sha256>-<sha256>.patch    a file in another form, until it is made of it
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edge_sdk.contract.manifest import MANIFEST, UNFINISHED
from edge_sdk.errors import ContractError, ReleaseError
from edge_sdk.model.release import Release, check_file
from edge_sdk.system.files import (
    fsync_directory,
    make_folder,
    remove,
    sha256_file,
    write_atomic,
)
from edge_sdk.system.providers import DEFAULT_PROVIDERS
from edge_sdk.update.choice import VariantChoice

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import FileRef
    from edge_sdk.update.state import SlotRef

CHOICE: Final = ".choice.json"  # no manifest can name a file that begins with a dot
"""File in a release's folder, beside those of the manifest: what was tried here, and chosen."""


@dataclass(frozen=True)
class Slot:
    """A release folder, and the packs of answers and of features and the personal prior that go
    with it.

    Of the release there are the variants that one of the ``providers`` may run.
    """

    ref: SlotRef
    release: Path
    pack: Path | None
    features: Path | None
    prior: Path | None = None
    providers: tuple[str, ...] = DEFAULT_PROVIDERS

    def opened(self) -> Release:
        """Return the release, its manifest checked and the rest unread; raises ReleaseError."""
        return Release.open(
            self.release, verify=False, digest=self.ref.manifest, providers=self.providers
        )

    def choice(self) -> VariantChoice | None:
        """Return what was chosen here; ``None`` if nothing was, or the note of it is damaged."""
        try:
            return VariantChoice.from_json((self.release / CHOICE).read_bytes())
        except (OSError, ContractError):
            return None

    def keep_choice(self, choice: VariantChoice) -> None:
        """Have ``choice`` on the disk; raises OSError."""
        write_atomic(self.release / CHOICE, choice.to_json())


class Slots:
    """The folders ``releases``, ``packs`` and ``patches`` of one model.

    Args:
        folder: of the model.
        may_remove: whether releases may be removed now: not while the journal that says which are
            needed is in memory only, or the one on the disk might name what is gone.
        providers: execution providers of this device: of a release it keeps the variants for them.
    """

    def __init__(
        self,
        folder: Path,
        may_remove: Callable[[], bool] = lambda: True,
        providers: tuple[str, ...] = DEFAULT_PROVIDERS,
    ) -> None:
        self._folder = folder
        self._releases = folder / "releases"
        self._packs = folder / "packs"
        self.patches = folder / "patches"
        self._may_remove = may_remove
        self._providers = providers
        # On a disk that takes nothing they are made by the first update that it takes.
        with contextlib.suppress(OSError):
            self.make_folders()

    def make_folders(self) -> None:
        """Have the folders, whatever was lost or lies in their place; raises OSError."""
        own = (self._folder.parent, self._folder)
        for place in (*own, self._releases, self._packs, self.patches):
            if place.exists() and not place.is_dir():
                place.unlink()
            make_folder(place)

    def slot(self, ref: SlotRef) -> Slot:
        """Return the place of ``ref``, which need not be there yet."""
        pack = self.pack(ref.pack) if ref.pack else None
        features = self.pack(ref.features) if ref.features else None
        prior = self.prior(ref.prior) if ref.prior else None
        return Slot(ref, self._releases / ref.manifest, pack, features, prior, self._providers)

    def pack(self, digest: str) -> Path:
        """Return the place of the pack ``digest``, which need not be there yet."""
        return self._packs / f"{digest}.pack"

    def prior(self, digest: str) -> Path:
        """Return the place of the personal prior ``digest``, which need not be there yet."""
        return self._packs / f"{digest}.prior"

    def delta(self, base: str, digest: str) -> Path:
        """Return the place to which a delta between two packs is downloaded."""
        return self._packs / f"{base}-{digest}.delta"

    def incoming(self, manifest: str) -> Path:
        """Return the folder into which the release is downloaded."""
        folder = self._releases / f".{manifest}.new"
        make_folder(folder)
        return folder

    def opened(self, folder: Path, *, verify: bool = False, digest: str | None = None) -> Release:
        """Return the release in one of these folders, as far as this device needs it.

        Args:
            folder: of the release, or into which it is downloaded.
            verify: read every byte now.
            digest: SHA-256 that its manifest must have.

        Raises:
            ReleaseError: as :meth:`Release.open`.
        """
        return Release.open(folder, verify=verify, digest=digest, providers=self._providers)

    def is_staged(self, ref: SlotRef) -> bool:
        """Return whether a release and its packs have their names, unread: all that is left is to
        try and to activate them.
        """
        release = self._releases / ref.manifest
        return release.is_dir() and all(file.is_file() for file in self._beside(ref).values())

    def holds_whole(self, manifest: str) -> bool:
        """Return whether the release is whole, reading every byte; a damaged one is removed."""
        folder = self._releases / manifest
        if self._is_release(folder, manifest):
            return True
        remove(folder)
        return False

    def remove_damaged(self, ref: SlotRef) -> bool:
        """Remove what is no longer whole of a slot, reading every byte; the rest may be of use to
        another slot.

        Returns:
            True if something is damaged or missing.
        """
        slot = self.slot(ref)
        damaged = [] if self._is_release(slot.release, ref.manifest) else [slot.release]
        damaged += [path for sha, path in self._beside(ref).items() if not _has_digest(path, sha)]
        if self._may_remove():
            for path in damaged:
                remove(path)
        return bool(damaged)

    def reuse(
        self, name: str, wanted: FileRef, destination: Path, releases: Iterable[SlotRef]
    ) -> bool:
        """Link a file from a release that is here already and has the same one, undamaged.

        Args:
            name: of the file in a release folder.
            wanted: its length and SHA-256.
            destination: the place for it.
            releases: that may have it.

        Returns:
            True if one has it.
        """
        for ref in releases:
            try:
                release = self.opened(self._releases / ref.manifest)
            except ReleaseError:
                continue
            file = release.files.get(name)
            if file == wanted and is_whole(release.folder / name, wanted):
                destination.unlink(missing_ok=True)
                try:
                    # A link takes no room, and releases are never written after they are staged.
                    os.link(release.folder / name, destination)
                except OSError:
                    shutil.copyfile(release.folder / name, destination)
                return True
        return False

    def files(self, refs: Iterable[SlotRef]) -> dict[str, Path]:
        """Return the files that are here of releases, and beside them, by SHA-256, unread."""
        found: dict[str, Path] = {}
        for ref in refs:
            with contextlib.suppress(ReleaseError):
                release = self.opened(self._releases / ref.manifest)
                files = release.files.items()
                found |= {file.sha256: release.folder / name for name, file in files}
                found[release.digest] = release.folder / MANIFEST
            found |= self._beside(ref)
        return {digest: path for digest, path in found.items() if path.is_file()}

    def stage(self, manifest: str) -> None:
        """Give a verified download its name, in one step."""
        final = self._releases / manifest
        if not final.exists():
            incoming = self._releases / f".{manifest}.new"
            for leftover in incoming.iterdir():
                if leftover.name.endswith(UNFINISHED):  # a way to a file that was given up
                    leftover.unlink()
            # Its files were synced one by one; now their names, before the folder gets its own.
            fsync_directory(incoming)
            incoming.rename(final)
        fsync_directory(self._releases)

    def clean(self, keep: Iterable[SlotRef]) -> None:
        """Remove every release, pack and leftover that ``keep`` does not name."""
        if not self._may_remove():
            return
        refs = list(keep)
        releases = {ref.manifest for ref in refs}
        packs = {path.name for ref in refs for path in self._beside(ref).values()}
        for place, names in ((self._releases, releases), (self._packs, packs), (self.patches, ())):
            for path in place.glob("*"):  # nothing where the disk has lost the folder
                if path.name not in names:
                    remove(path)

    def _beside(self, ref: SlotRef) -> dict[str, Path]:
        """Return the places of the files beside the release, by their SHA-256."""
        beside = {digest: self.pack(digest) for digest in ref.packs}
        return beside if ref.prior is None else beside | {ref.prior: self.prior(ref.prior)}

    def _is_release(self, folder: Path, manifest: str) -> bool:
        try:
            return self.opened(folder, verify=True).digest == manifest
        except ReleaseError:
            return False


def _has_digest(file: Path, digest: str) -> bool:
    try:
        return sha256_file(file) == digest
    except OSError:
        return False


def is_whole(path: Path, ref: FileRef) -> bool:
    """Return whether ``path`` is there with the length and SHA-256 of ``ref``."""
    try:
        check_file(path, ref)
    except ReleaseError:
        return False
    return True
