"""A version of a hub as an artifact in a registry, or in a layout on disk.

It goes through the machine of whoever asks: there are their rights on the registry, and a hub opens
no connection to an address that somebody names. Nothing is pushed whose digests are not those of
the manifest that the hub has recorded.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from cloud_hub.errors import HubFault, Invalid
from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.manifest import MANIFEST, Manifest
from edge_sdk.errors import ReleaseError

if TYPE_CHECKING:
    from cloud_hub.client.admin import AdminClient


@dataclass(frozen=True)
class ExportedRelease:
    """What was pushed.

    Attributes:
        model: name of the line.
        version: of it.
        manifest: SHA-256 of the release's own manifest.
        reference: the artifact, as it was named.
        digest: of the artifact, ``sha256:…``.
        sent: bytes that were sent.
        there: bytes that were there already.
    """

    model: str
    version: str
    manifest: str
    reference: str
    digest: str
    sent: int
    there: int


def export_release(
    client: AdminClient, model: str, version: str, reference: str, *, plain_http: bool = False
) -> ExportedRelease:
    """Push a version of a hub.

    Args:
        client: of the hub.
        model: name of the line.
        version: of it, or an alias.
        reference: ``HOST/REPOSITORY:TAG``, or ``oci:FOLDER:TAG`` on this machine.
        plain_http: speak to the registry without TLS.

    Raises:
        Invalid: the reference is none; the hub is not asked then.
        HubFault: the hub or the registry refuses or cannot be reached, or the release came damaged.
    """
    from converters.errors import ConversionError
    from converters.exchange.references import parse_reference
    from converters.exchange.transfer import push
    from edge_sdk.model.release import Release

    try:
        parse_reference(reference)
    except ConversionError as error:
        raise Invalid(str(error)) from error
    told = client.post(f"models/{model}/versions/{version}/exports", to=reference)
    with TemporaryDirectory(prefix="edge-hub-export-") as place:
        folder = Path(place)
        try:
            _download(client, told, folder)
            pushed = push(Release.open(folder, verify=False), reference, plain_http=plain_http)
        except (ContractError, ReleaseError) as error:
            raise HubFault(
                f"{model} {version}: came damaged, nothing was pushed; {error}"
            ) from error
        except ConversionError as error:
            raise HubFault(str(error)) from error
    return ExportedRelease(
        told["model"], told["version"], told["manifest"], reference, pushed.digest, pushed.sent,
        pushed.there,
    )  # fmt: skip


def _download(client: AdminClient, told: dict[str, str], folder: Path) -> None:
    """Write the files of a release into a folder; raises HubFault, ContractError."""
    base = f"models/{told['model']}/versions/{told['version']}/files"
    raw = client.fetch(f"{base}/{MANIFEST}")
    if hashlib.sha256(raw).hexdigest() != told["manifest"]:
        raise HubFault(f"{MANIFEST}: came with another digest than {told['manifest']}")
    (folder / MANIFEST).write_bytes(raw)
    for name in Manifest.from_json(raw).files:
        client.save(f"{base}/{name}", folder / name)
