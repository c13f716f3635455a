"""Releases to registries and back.

Push order: blobs, then the manifest that names them, so that nobody finds an artifact that is not
whole. What was pulled lies in a folder beside its destination until it is complete, and a pull that
was cut goes on there; the release appears at once, after its own digests were compared.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Protocol

from converters.errors import ExchangeError
from converters.exchange.credentials import registry_secret
from converters.exchange.distribution import RegistryClient, digest_of_file
from converters.exchange.image_layout import ImageLayout
from converters.exchange.modelpack import (
    CONFIG,
    DOC,
    Descriptor,
    artifact_of,
    digest_of,
    layer_of,
    layers_of,
)
from converters.exchange.references import LayoutName, parse_reference
from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.limits import MANIFEST_BYTES
from edge_sdk.contract.manifest import MANIFEST, FileRef, Manifest
from edge_sdk.contract.names import check_digest
from edge_sdk.errors import ReleaseError
from edge_sdk.model.release import Release
from edge_sdk.system.files import folder_atomic

TRIES: Final = 3
"""Of a blob whose connection breaks in the middle."""


class ArtifactPlace(Protocol):
    """Where one artifact is, or will be."""

    def has(self, blob: Descriptor) -> bool:
        """Return whether a blob is there."""

    def send(self, blob: Descriptor, content: Path | bytes) -> None:
        """Put a blob there."""

    def receive(self, blob: Descriptor, file: IO[bytes], begin: int) -> None:
        """Write the rest of a blob to a file that has ``begin`` bytes of it."""

    def put_manifest(self, raw: bytes) -> None:
        """Have the name say an artifact whose blobs are there."""

    def manifest(self) -> bytes:
        """Return the image manifest of the name."""

    def close(self) -> None:
        """End what is open."""


@dataclass(frozen=True)
class Pushed:
    """What a push did: the artifact's digest, and bytes that were sent and that were there."""

    digest: str
    sent: int
    there: int


def push(release: Release, reference: str, *, plain_http: bool = False) -> Pushed:
    """Put a release into a registry, or a layout on disk; what is there is not sent again.

    Args:
        release: all of its files have to be here.
        reference: where to, ``HOST/REPOSITORY:TAG`` or ``oci:FOLDER:TAG``.
        plain_http: speak to the registry without TLS.

    Raises:
        ExchangeError: the registry refuses, cannot be reached, or the reference is none.
        ReleaseError: the release is damaged.
    """
    release.verify()
    artifact = artifact_of(release)
    sent = there = 0
    with _place(reference, plain_http) as place:
        config = Descriptor(CONFIG, digest_of(artifact.config), len(artifact.config))
        blobs: list[tuple[Descriptor, Path | bytes]] = [
            (Descriptor(DOC, digest, path.stat().st_size), path)
            for digest, path in artifact.files.items()
        ]
        for blob, content in [*blobs, (config, artifact.config)]:
            if place.has(blob):
                there += blob.size
            else:
                place.send(blob, content)
                sent += blob.size
        place.put_manifest(artifact.manifest)
    return Pushed(artifact.digest, sent, there)


def pull(
    reference: str, out: Path, *, digest: str | None = None, plain_http: bool = False
) -> Release:
    """Fetch a release into a folder, whole and checked, or not at all.

    Args:
        reference: where from.
        out: folder to make.
        digest: SHA-256 that the release's own manifest must have.
        plain_http: speak to the registry without TLS.

    Raises:
        ExchangeError: the registry refuses or cannot be reached, what it holds is no release or
            another one than ``digest``, or ``out`` exists.
        ReleaseError: the files are not what the release's own manifest says.
    """
    if out.exists():
        raise ExchangeError(f"{out}: expected a folder that is not there yet")
    with _place(reference, plain_http) as place:
        layers = layers_of(place.manifest())
        first = layers[MANIFEST]
        if digest not in (None, first.digest.removeprefix("sha256:")):
            raise ExchangeError(f"{reference}: expected the release {digest}, found {first.digest}")
        with _written(out):
            staging = _staging(out, first)
            manifest = _manifest(_fetched(place, first, staging, MANIFEST_BYTES))
            refs = {**manifest.files, MANIFEST: FileRef(first.size, first.digest[7:])}
            wanted = {name: layer_of(layers, name, ref) for name, ref in refs.items()}
            for blob in wanted.values():
                _fetched(place, blob, staging, blob.size)
            _assemble(out, staging, wanted)
            shutil.rmtree(staging, ignore_errors=True)
    return Release.open(out)


@contextmanager
def _place(reference: str, plain_http: bool) -> Iterator[ArtifactPlace]:
    name = parse_reference(reference)
    place: ArtifactPlace
    if isinstance(name, LayoutName):
        place = ImageLayout(name)
    else:
        place = RegistryClient(name, registry_secret(name.host), plain_http=plain_http)
    try:
        yield place
    finally:
        place.close()


def _staging(out: Path, first: Descriptor) -> Path:
    """Return the folder in which a pull of this very release goes on."""
    _check_digest(first.digest)
    folder = out.with_name(f".{out.name}.{first.digest[7:23]}.pull")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def _check_digest(digest: object) -> None:
    """Refuse what is no digest before it becomes part of a path; raises ExchangeError."""
    try:
        check_digest("artifact", str(digest).removeprefix("sha256:"))
    except ContractError as error:
        raise ExchangeError(str(error)) from error


def _manifest(path: Path) -> Manifest:
    try:
        return Manifest.from_json(path.read_bytes())
    except ContractError as error:
        raise ExchangeError(f"artifact: its {MANIFEST} is none; {error}") from error


def _fetched(place: ArtifactPlace, blob: Descriptor, staging: Path, most: int) -> Path:
    """Return the file of a blob, fetched as far as it is not there; raises ExchangeError."""
    _check_digest(blob.digest)
    if type(blob.size) is not int or not 0 <= blob.size <= most:
        raise ExchangeError(f"artifact: expected a size of at most {most}, got {blob.size!r:.40}")
    path = staging / blob.digest[7:]
    error: ExchangeError | None = None
    for _ in range(TRIES):
        try:
            with path.open("ab") as file:
                begin = min(file.tell(), blob.size)
                file.truncate(begin)
                if begin < blob.size or not begin:
                    place.receive(blob, file, begin)
        except ExchangeError as broken:
            error = broken
            continue
        if path.stat().st_size == blob.size and digest_of_file(path) == blob.digest:
            return path
        error = ExchangeError(f"artifact: {blob.digest} came damaged")
        path.unlink()
    raise error or ExchangeError(f"artifact: {blob.digest} did not come")


def _assemble(out: Path, staging: Path, wanted: dict[str, Descriptor]) -> None:
    """Make the release folder of what came, and check it before anybody sees it."""
    left = Counter(blob.digest for blob in wanted.values())
    with folder_atomic(out) as folder:
        for name, blob in wanted.items():
            left[blob.digest] -= 1
            source = staging / blob.digest[7:]
            if left[blob.digest]:  # another file of the release has the same content
                shutil.copyfile(source, folder / name)
            else:
                source.rename(folder / name)
        Release.open(folder)


@contextmanager
def _written(out: Path) -> Iterator[None]:
    """Have errors of the disk be ours."""
    try:
        yield
    except (ExchangeError, ReleaseError):
        raise
    except OSError as error:
        raise ExchangeError(f"{out}: cannot write the release; {error.strerror}") from error
