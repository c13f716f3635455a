"""The signed repository of a hub, as its settings say: in its folder or in a bucket."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cloud_hub.errors import NotFound
from cloud_hub.registry.metadata_folder import MetadataFolder
from cloud_hub.registry.repository import Repository
from cloud_hub.storage.moved import check_not_moved
from cloud_hub.storage.stores import open_stores

if TYPE_CHECKING:
    from cloud_hub.registry.metadata_store import MetadataStore
    from cloud_hub.settings import Settings
    from cloud_hub.storage.stores import ArtifactStores


def open_repository(settings: Settings, stores: ArtifactStores) -> Repository:
    """Return the repository of a hub, which may be empty yet.

    Args:
        settings: of the hub.
        stores: of its artifacts.
    """
    folder = settings.data / "repository"
    metadata = _metadata(settings, stores, folder)
    return Repository(folder, settings.data / "keys", stores.targets, metadata)


def check_initialised(settings: Settings) -> None:
    """Raise NotFound unless the folder of the settings holds a hub, Conflict if it was moved."""
    check_not_moved(settings.data)
    if not open_repository(settings, open_stores(settings)).is_complete:
        raise NotFound(f"{settings.data}: holds no hub; run edge-hub init {settings.data}")


def able_to_sign(repository: Repository) -> Repository:
    """Return the repository with its metadata whole; a hub that cannot sign fails here.

    And not hours later, when the first metadata expires.
    """
    repository.recover()
    repository.signer("online")
    return repository


def _metadata(settings: Settings, stores: ArtifactStores, folder: Path) -> MetadataStore:
    publishing = _Publishing(settings)
    if stores.metadata is None:
        return MetadataFolder(folder / "metadata", publishing.over_machines)
    # Loaded here: with it comes the library for buckets.
    from cloud_hub.registry.bucket_metadata import BucketMetadata

    return BucketMetadata(stores.metadata, publishing.alone)


class _Publishing:
    """Locks of whoever publishes.

    Args:
        settings: say whether other machines may publish too: where they share a database.
    """

    def __init__(self, settings: Settings) -> None:
        self._url = settings.database
        self._file = settings.data / "repository" / "lock"

    @contextlib.contextmanager
    def over_machines(self) -> Iterator[None]:
        """Keep workers on other machines out, if there can be any."""
        if self._url is None or self._url.startswith("sqlite"):
            yield
            return
        from sqlalchemy import create_engine

        from cloud_hub.database.locks import exclusive

        with exclusive(create_engine(self._url), "publish"):
            yield

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep all others out, those on this machine too."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._file, os.O_RDWR | os.O_CREAT)
        try:
            # A lock of the system ends with its process, however that ends; a file would stay.
            fcntl.flock(handle, fcntl.LOCK_EX)
            with self.over_machines():
                yield
        finally:
            os.close(handle)
