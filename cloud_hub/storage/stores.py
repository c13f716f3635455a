"""The stores of one hub: here a new kind of store is chosen by its settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloud_hub.errors import Invalid
from cloud_hub.settings import Settings
from cloud_hub.storage.artifact_store import ArtifactStore
from cloud_hub.storage.folder_store import FolderStore

if TYPE_CHECKING:
    from cloud_hub.storage.bucket import Bucket


@dataclass(frozen=True)
class ArtifactStores:
    """The stores of a hub, apart because devices must not reach the first.

    Attributes:
        blobs: uploads by their SHA-256, datasets and training states among them; never public.
        targets: the files that signed metadata lists, for every device.
        forms: the same files as patches, made anew where they are lost.
        metadata: bucket of the signed metadata; ``None`` where that is a folder of the hub's data.
    """

    blobs: ArtifactStore
    targets: ArtifactStore
    forms: ArtifactStore
    metadata: Bucket | None = None


def open_stores(settings: Settings) -> ArtifactStores:
    """Return the stores of a hub: folders of its data, or of a bucket.

    Raises:
        Invalid: the URL of the bucket is none, or the library for it is not installed.
    """
    if settings.artifacts:
        return _in_bucket(settings.artifacts)
    return ArtifactStores(
        FolderStore(settings.data / "blobs"),
        FolderStore(settings.data / "repository" / "targets"),
        FolderStore(settings.data / "forms"),
    )


def _in_bucket(url: str) -> ArtifactStores:
    # Loaded here: a hub with folders does without the library.
    from cloud_hub.storage.bucket_address import BucketAddress

    address = BucketAddress.parse(url)
    try:
        from cloud_hub.storage.bucket import Bucket
        from cloud_hub.storage.bucket_store import BucketStore
    except ImportError as error:
        raise Invalid(
            f"artifacts: {address.scheme}:// needs obstore, which is not installed here; "
            'pip install "edge-deployment-sdk[hub,s3]"'
        ) from error
    return ArtifactStores(
        BucketStore(Bucket(address, "blobs")),
        BucketStore(Bucket(address, "targets"), public=address.redirects),
        BucketStore(Bucket(address, "forms"), public=address.redirects),
        Bucket(address, "metadata"),
    )
