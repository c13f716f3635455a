"""The stores of one hub: here a new kind of store is chosen by its settings."""

from __future__ import annotations

from dataclasses import dataclass

from cloud_hub.settings import Settings
from cloud_hub.storage.artifact_store import ArtifactStore
from cloud_hub.storage.folder_store import FolderStore


@dataclass(frozen=True)
class ArtifactStores:
    """The stores of a hub, apart because devices must not reach the first.

    Attributes:
        blobs: uploads by their SHA-256, datasets and training states among them; never public.
        targets: the files that signed metadata lists, for every device.
        forms: the same files as patches, made anew where they are lost.
    """

    blobs: ArtifactStore
    targets: ArtifactStore
    forms: ArtifactStore


def open_stores(settings: Settings) -> ArtifactStores:
    """Return the stores of a hub: folders of its data."""
    return ArtifactStores(
        FolderStore(settings.data / "blobs"),
        FolderStore(settings.data / "repository" / "targets"),
        FolderStore(settings.data / "forms"),
    )
