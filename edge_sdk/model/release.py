"""A release on disk: a folder whose manifest fixes length and SHA-256 of every other file.

Invariant: a :class:`Release` that was opened with ``verify`` holds exactly the bytes that its
manifest names; its ``digest`` (SHA-256 of ``manifest.json``) names the whole folder.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.limits import MANIFEST_BYTES
from edge_sdk.contract.manifest import (
    CERTIFICATE,
    GOLDEN,
    MANIFEST,
    MODEL,
    PROFILE,
    FileRef,
    Manifest,
)
from edge_sdk.contract.profile import ReferenceProfile
from edge_sdk.errors import ContractError, ReleaseError, reason_of
from edge_sdk.model.onnx_references import check_self_contained
from edge_sdk.system.files import folder_atomic, sha256_file
from edge_sdk.validation import path_of

if TYPE_CHECKING:  # not needed to serve
    from edge_sdk.contract.certificate import Certificate

Feed = dict[str, NDArray[Any]]
_INPUT: Final = "input:"
_OUTPUT: Final = "output:"
_TOLERANCE: Final = "tolerance"


@dataclass(frozen=True)
class Golden:
    """Golden vectors: inputs with the original framework's outputs; axis 0 is the batch.

    Floating-point outputs agree within ``tolerance`` (absolute), all others exactly.
    """

    inputs: Feed
    outputs: Feed
    tolerance: float

    def __repr__(self) -> str:
        shown = {name: array.shape for name, array in {**self.inputs, **self.outputs}.items()}
        return f"<Golden {shown} within {self.tolerance:g}>"

    def to_bytes(self) -> bytes:
        """Return the content of ``golden.npz``; the same arrays give the same bytes."""
        arrays = {_INPUT + name: array for name, array in self.inputs.items()}
        arrays |= {_OUTPUT + name: array for name, array in self.outputs.items()}
        arrays[_TOLERANCE] = np.asarray(self.tolerance)
        return save_arrays(arrays)

    @classmethod
    def from_bytes(cls, raw: bytes) -> Golden:
        """Parse ``golden.npz``; raises :class:`ReleaseError`."""
        import zipfile  # 6 ms that serving does without

        try:
            # allow_pickle=False: a pickle from a release could run code.
            with np.load(io.BytesIO(raw), allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            tolerance = float(arrays.pop(_TOLERANCE))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ReleaseError(f"{GOLDEN}: expected golden vectors; {error}") from error
        return cls(_with_prefix(arrays, _INPUT), _with_prefix(arrays, _OUTPUT), tolerance)


def save_arrays(arrays: Mapping[str, Any]) -> bytes:
    """Return an ``.npz`` whose bytes depend on the arrays alone (NumPy's holds the time)."""
    import zipfile  # 6 ms that serving does without

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(arrays):
            # The earliest time that the format has; any fixed one gives reproducible bytes.
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            content = io.BytesIO()
            np.lib.format.write_array(content, np.asanyarray(arrays[name]), allow_pickle=False)
            archive.writestr(entry, content.getvalue(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _with_prefix(arrays: Feed, prefix: str) -> Feed:
    return {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}


@dataclass(frozen=True)
class Release:
    """A release folder. ``digest`` is the SHA-256 of its manifest."""

    folder: Path
    manifest: Manifest
    digest: str

    @classmethod
    def open(cls, folder: str | Path, *, verify: bool = True) -> Release:
        """Read the release in ``folder``; with ``verify``, check every file's length and SHA-256.

        Raises:
            ReleaseError: a file is missing or differs from the manifest.
        """
        path = path_of("release", folder, ReleaseError)
        try:
            raw = (path / MANIFEST).read_bytes()
        except OSError as error:
            raise ReleaseError(
                f"{path}: expected a release folder with a {MANIFEST}; {error.strerror}"
            ) from error
        try:
            manifest = Manifest.from_json(raw)
        except ContractError as error:
            raise ReleaseError(f"{path / MANIFEST}: {error}") from error
        release = cls(path, manifest, hashlib.sha256(raw).hexdigest())
        if verify:
            release.verify()
        return release

    def __repr__(self) -> str:
        return f"<Release {self.manifest.model} {self.manifest.version} in {self.folder}>"

    def verify(self) -> None:
        """Check every file against the manifest, and that the model needs no other file.

        Raises:
            ReleaseError: names the first file that is missing or differs, or refers to another one.
        """
        for name, ref in self.manifest.files.items():
            check_file(self.folder / name, ref)
        check_self_contained(self.model_path)

    @property
    def model_path(self) -> Path:
        """The ONNX file."""
        return self.folder / MODEL

    @property
    def profile_digest(self) -> str:
        """SHA-256 of the reference profile; names the layout of histograms."""
        return self.manifest.files[PROFILE].sha256

    def profile(self) -> ReferenceProfile:
        """Return the reference profile; raises :class:`ReleaseError`."""
        try:
            return ReferenceProfile.from_json(self._read(PROFILE))
        except ContractError as error:
            raise ReleaseError(f"{self.folder / PROFILE}: {error}") from error

    def certificate(self) -> Certificate:
        """Return the measurements of the conversion; raises :class:`ReleaseError`."""
        from edge_sdk.contract.certificate import Certificate

        try:
            return Certificate.from_json(self._read(CERTIFICATE))
        except ContractError as error:
            raise ReleaseError(f"{self.folder / CERTIFICATE}: {error}") from error

    def golden(self) -> Golden:
        """Return the golden vectors; raises :class:`ReleaseError`."""
        return Golden.from_bytes(self._read(GOLDEN))

    def _read(self, name: str) -> bytes:
        try:
            return (self.folder / name).read_bytes()
        except OSError as error:
            raise ReleaseError(f"{self.folder / name}: {error.strerror}") from error


def check_file(path: Path, ref: FileRef) -> None:
    """Check that ``path`` has the length and SHA-256 of ``ref``; raises :class:`ReleaseError`."""
    try:
        length = path.stat().st_size
        # The length first: it is free, and a truncated file need not be hashed.
        if length != ref.length:
            raise ReleaseError(f"{path}: expected {ref.length} bytes, found {length}")
        digest = sha256_file(path)
    except OSError as error:
        raise ReleaseError(f"{path}: {error.strerror}") from error
    if digest != ref.sha256:
        raise ReleaseError(f"{path}: expected SHA-256 {ref.sha256}, found {digest}")


def write_release(out: str | Path, manifest: Manifest, files: Mapping[str, bytes]) -> Release:
    """Write a release folder, completely or not at all.

    Args:
        out: folder to create.
        manifest: manifest; its ``files`` are computed from ``files``.
        files: content of every other file by name.

    Returns:
        The release, opened and verified.

    Raises:
        ReleaseError: ``out`` exists, cannot be written, or the manifest would be too large.
    """
    refs = {name: FileRef(len(raw), hashlib.sha256(raw).hexdigest()) for name, raw in files.items()}
    raw = replace(manifest, files=refs).to_json()
    if len(raw) > MANIFEST_BYTES:
        raise ReleaseError(f"{MANIFEST}: expected at most {MANIFEST_BYTES} bytes, got {len(raw)}")
    try:
        with folder_atomic(Path(out)) as folder:
            for name, content in {**files, MANIFEST: raw}.items():
                (folder / name).write_bytes(content)
    except OSError as error:
        raise ReleaseError(f"{out}: cannot write the release; {reason_of(error)}") from error
    return Release.open(out)
