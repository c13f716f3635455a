"""A release on disk: a folder whose manifest fixes length and SHA-256 of every other file.

Invariants:

* ``digest`` (SHA-256 of ``manifest.json``) names the whole folder. A release that was opened with
  ``verify`` held exactly the bytes that its manifest names.
* Whatever else was checked before, no content of a file is used here that does not have the SHA-256
  of the manifest: a bit that flips on the disk is an error that names the file, not an answer.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.limits import MANIFEST_BYTES
from edge_sdk.contract.manifest import GOLDEN, MANIFEST, PROFILE, FileRef, Manifest, Variant
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
READ_ONCE: Final = 16 << 20
"""Bytes of a model that are read, checked and handed to the runtime as one. A larger file is
checked and then loaded by its path, so that it is not in memory once more while it is loaded.
"""


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
    """A release folder, and the variant of the model that is used here.

    Attributes:
        folder: its files.
        manifest: what they are.
        digest: SHA-256 of the manifest.
        providers: execution providers that this machine uses; of variants for others there need be
            no file here. ``None`` where every file is kept.
        used: the variant to use; ``None`` for the first that ``providers`` allow.
        provider: execution provider that it is used on; ``None`` for the first that may run it.
    """

    folder: Path
    manifest: Manifest
    digest: str
    providers: tuple[str, ...] | None = None
    used: Variant | None = None
    provider: str | None = None

    @classmethod
    def open(
        cls,
        folder: str | Path,
        *,
        verify: bool = True,
        digest: str | None = None,
        providers: Collection[str] | None = None,
    ) -> Release:
        """Read the release in ``folder``.

        Args:
            folder: release folder.
            verify: check length and SHA-256 of every file now. Without it each is checked when it
                is used.
            digest: SHA-256 that its manifest must have.
            providers: execution providers that this machine uses: only files of variants for one of
                them are looked at. By default every file has to be there.

        Raises:
            ReleaseError: a file is missing or differs from the manifest, or the manifest from
                ``digest``; or no variant is for one of ``providers``.
        """
        path = path_of("release", folder, ReleaseError)
        try:
            raw = (path / MANIFEST).read_bytes()
        except OSError as error:
            raise ReleaseError(
                f"{path}: expected a release folder with a {MANIFEST}; {error.strerror}"
            ) from error
        found = hashlib.sha256(raw).hexdigest()
        if digest not in (None, found):
            raise ReleaseError(f"{path / MANIFEST}: expected SHA-256 {digest}, found {found}")
        try:
            manifest = Manifest.from_json(raw)
        except ContractError as error:
            raise ReleaseError(f"{path / MANIFEST}: {error}") from error
        release = cls(path, manifest, found, None if providers is None else tuple(providers))
        release._check_taken()
        if verify:
            release.verify()
        return release

    def _check_taken(self) -> None:
        if self.manifest.variants_for(self.providers):
            return
        there = ", ".join(f"{each.name} ({each.provider})" for each in self.manifest.variants)
        raise ReleaseError(
            f"{self.folder}: expected a variant for {' or '.join(self.providers or ())}, found "
            f"{there}; convert one for this device, and publish it"
        )

    def __repr__(self) -> str:
        return f"<Release {self.manifest.model} {self.manifest.version} in {self.folder}>"

    @property
    def variant(self) -> Variant:
        """The variant whose model, golden vectors and certificate are used."""
        return self.used or self.manifest.variants_for(self.providers)[0]

    @property
    def variants(self) -> tuple[Release, ...]:
        """The same release once for each variant that is here, with that one used."""
        return tuple(replace(self, used=v) for v in self.manifest.variants_for(self.providers))

    @property
    def candidates(self) -> tuple[Release, ...]:
        """The same release once for each variant that is here and each provider that may run it.

        The publisher's order of variants goes before this machine's order of providers.
        """
        return tuple(
            replace(each, provider=name)
            for each in self.variants
            for name in each.variant.runs_on(self.providers or (each.variant.provider,))
        )

    @property
    def files(self) -> dict[str, FileRef]:
        """The files that have to be here."""
        return self.manifest.files_for(self.providers)

    def runs_like(self, other: Release) -> bool:
        """Return whether both are the same variant of the same release on the same providers.

        Those that take what the first does not run count too: a plan may permit fewer by now.
        """
        mine, theirs = ((r.digest, r.variant.name, r.provider, r.providers) for r in (self, other))
        return mine == theirs

    def verify(self, *, model: bool = True) -> None:
        """Check every file against the manifest.

        Each ``model`` too, unless one is loaded next: its bytes, and that it needs no other file.

        Raises:
            ReleaseError: names the first file that is missing or differs, or refers to another one.
        """
        models = {variant.model for variant in self.manifest.variants_for(self.providers)}
        for name, ref in self.files.items():
            if model or name not in models:
                check_file(self.folder / name, ref)
        if model:
            for name in models:
                check_self_contained(self.folder / name)

    @property
    def model_path(self) -> Path:
        """The ONNX file that is used."""
        return self.folder / self.variant.model

    @property
    def model_bytes(self) -> int:
        """Return the length of the ONNX file, about what its weights take in memory."""
        return self._ref(self.variant.model).length

    def verified_model(self) -> bytes | str:
        """Return the checked ONNX file: its bytes, or its path if it has over :data:`READ_ONCE`.

        Raises:
            ReleaseError: it is missing, or differs from the manifest.
        """
        name = self.variant.model
        if self._ref(name).length > READ_ONCE:
            check_file(self.model_path, self._ref(name))
            return str(self.model_path)
        return self._read(name)

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
        """Return the measurements of the variant in use; raises :class:`ReleaseError`."""
        from edge_sdk.contract.certificate import Certificate

        name = self.variant.certificate
        try:
            return Certificate.from_json(self._read(name))
        except ContractError as error:
            raise ReleaseError(f"{self.folder / name}: {error}") from error

    def golden(self) -> Golden:
        """Return the golden vectors of the variant in use; raises :class:`ReleaseError`."""
        return Golden.from_bytes(self._read(self.variant.golden))

    def _ref(self, name: str) -> FileRef:
        ref = self.manifest.files.get(name)
        if ref is None:
            raise ReleaseError(f"{self.folder / MANIFEST}: it names no {name}")
        return ref

    def _read(self, name: str) -> bytes:
        """Read a file once; the bytes that are checked are the ones that are used."""
        path, ref = self.folder / name, self._ref(name)
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise ReleaseError(f"{path}: {error.strerror}") from error
        if len(raw) != ref.length:
            raise ReleaseError(f"{path}: expected {ref.length} bytes, found {len(raw)}")
        found = hashlib.sha256(raw).hexdigest()
        if found != ref.sha256:
            raise ReleaseError(f"{path}: expected SHA-256 {ref.sha256}, found {found}")
        return raw


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


def refs_of(files: Mapping[str, bytes | Path]) -> dict[str, FileRef]:
    """Return length and SHA-256 of files by their content, or by the file that holds it."""
    return {name: _ref_of(content) for name, content in files.items()}


def _ref_of(content: bytes | Path) -> FileRef:
    if isinstance(content, Path):
        return FileRef(content.stat().st_size, sha256_file(content))
    return FileRef(len(content), hashlib.sha256(content).hexdigest())


def write_release(
    out: str | Path, manifest: Manifest, files: Mapping[str, bytes | Path]
) -> Release:
    """Write a release folder, completely or not at all.

    Args:
        out: folder to create.
        manifest: manifest; its ``files`` are computed from ``files``.
        files: content of every other file by name, or the path of a file that is copied.

    Returns:
        The release, opened and verified.

    Raises:
        ReleaseError: ``out`` exists, cannot be written, or the manifest would be too large.
    """
    import shutil  # not needed to serve

    raw = replace(manifest, files=refs_of(files)).to_json()
    if len(raw) > MANIFEST_BYTES:
        raise ReleaseError(f"{MANIFEST}: expected at most {MANIFEST_BYTES} bytes, got {len(raw)}")
    try:
        with folder_atomic(Path(out)) as folder:
            for name, content in {**files, MANIFEST: raw}.items():
                if isinstance(content, Path):
                    shutil.copyfile(content, folder / name)
                else:
                    (folder / name).write_bytes(content)
    except OSError as error:
        raise ReleaseError(f"{out}: cannot write the release; {reason_of(error)}") from error
    return Release.open(out)
