"""Reading a pack: one memory-mapped file, a lookup is one directory read and one search.

Invariants:

* A pack that opens was made for exactly this release and this canonicaliser, has its full length
  and has not expired. :meth:`Pack.verify` checks every byte; the updater does that once.
* The file under an open pack is never written: a new pack is another file.
"""

from __future__ import annotations

import hashlib
import mmap
import struct
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.pack import HEADER_BYTES, KEY_BYTES, PackHeader, Sections, parse_header
from edge_sdk.contract.pack import sections as sections_of
from edge_sdk.errors import ContractError, PackError
from edge_sdk.keys import Canonicaliser
from edge_sdk.release import Release

_CHUNK: Final = 1 << 20
_BUCKET: Final = struct.Struct("<2I")
"""First entry of a bucket and of the next one."""


class Pack:
    """An open pack; :meth:`get` is safe from any number of threads."""

    def __init__(self, path: Path, header: PackHeader, sections: Sections, data: mmap.mmap) -> None:
        self.path = path
        self.header = header
        self._sections = sections
        self._data = data
        self._shift = 32 - header.directory_bits
        self._fields = _field_layout(header)

    @classmethod
    def open(
        cls, path: str | Path, release: Release | None = None, *, now: float | None = None
    ) -> Pack:
        """Open the pack at ``path`` for ``release`` (``None``: any release, to inspect it).

        Raises:
            PackError: unreadable, torn, expired at ``now`` (default: the clock), or made for
                another release or canonicaliser.
        """
        where = Path(path)
        try:
            with where.open("rb") as file:
                head = file.read(HEADER_BYTES + 16)
                header, directory = parse_header(head)
                data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError, ContractError) as error:
            raise PackError(f"{where}: cannot open the pack; {error}") from error
        sections = sections_of(header, directory)
        try:
            _check(where, header, sections, len(data), time.time() if now is None else now)
            if release is not None:
                _check_release(where, header, release)
        except PackError:
            data.close()
            raise
        return cls(where, header, sections, data)

    def __len__(self) -> int:
        return self.header.count

    def get(self, key: bytes) -> dict[str, NDArray[Any]] | None:
        """The outputs stored under ``key`` (16 bytes) by name, or ``None``."""
        place = self._sections
        bucket = int.from_bytes(key[:4], "big") >> self._shift
        first, last = _BUCKET.unpack_from(self._data, place.directory + 4 * bucket)
        end = place.keys + KEY_BYTES * last
        at = self._data.find(key, place.keys + KEY_BYTES * first, end)
        while at >= 0 and (at - place.keys) % KEY_BYTES:
            at = self._data.find(key, at + 1, end)
        if at < 0:
            return None
        value = place.values + (at - place.keys) // KEY_BYTES * self.header.value_bytes
        return {
            name: np.ndarray(shape, dtype, self._data, value + offset).copy()
            for name, dtype, shape, offset in self._fields
        }

    def keys(self) -> NDArray[np.uint8]:
        """Every key in order, [count, 16]; a copy, so that the pack can be closed."""
        start = self._sections.keys
        raw = self._data[start : start + KEY_BYTES * self.header.count]
        return np.frombuffer(raw, np.uint8).reshape(-1, KEY_BYTES)

    def verify(self) -> None:
        """Read the whole body and compare its SHA-256 with the header's.

        Raises:
            PackError: they differ.
        """
        digest = hashlib.sha256()
        for start in range(self._sections.directory, len(self._data), _CHUNK):
            digest.update(self._data[start : start + _CHUNK])
        if digest.hexdigest() != self.header.body:
            raise PackError(f"{self.path}: its content is damaged (SHA-256 differs)")

    def close(self) -> None:
        """Unmap the file; lookups after it are an error."""
        self._data.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()


def _field_layout(header: PackHeader) -> list[tuple[str, np.dtype[Any], tuple[int, ...], int]]:
    """(name, dtype, shape, offset inside a value) of every output."""
    layout, offset = [], 0
    for field in header.fields:
        dtype = np.dtype(field.dtype).newbyteorder("<")
        layout.append((field.name, dtype, field.shape, offset))
        offset += field.size
    return layout


def _check(path: Path, header: PackHeader, sections: Sections, length: int, now: float) -> None:
    if length != sections.end:
        raise PackError(f"{path}: expected {sections.end} bytes, found {length}; it is torn")
    if header.expires is not None and now >= header.expires:
        raise PackError(f"{path}: expired at {header.expires} (Unix seconds)")


def _check_release(path: Path, header: PackHeader, release: Release) -> None:
    if header.manifest != release.digest:
        raise PackError(
            f"{path}: made for release {header.model} {header.version} ({header.manifest[:12]}…), "
            f"this is {release.manifest.model} {release.manifest.version} ({release.digest[:12]}…)"
        )
    canonicaliser = Canonicaliser(release.manifest.signature).name
    if header.canonicaliser != canonicaliser:
        raise PackError(f"{path}: keys of {header.canonicaliser}, expected {canonicaliser}")
