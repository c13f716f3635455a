"""Reader of packs: memory-mapped files of precomputed answers.

Most misses end at the filter; any other lookup is one directory read and one short search.
Invariants:

* A pack that opens was made for exactly this release and this canonicaliser, has its full length, a
  sound header, and has not expired.
* No byte is answered before the checksum of its block was compared, at the block's first touch. A
  damaged block answers nothing, and :attr:`Pack.damage` says so. :meth:`Pack.verify` checks every
  byte; the updater does that once, and a thread of the device again after each opening.
* Lookups return copies, which stay valid after the pack is closed.
* The file under an open pack is never written: a new pack is a new file.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import struct
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.dtypes import FLOAT_CODES
from edge_sdk.contract.key import CHECK_BYTES, DIGEST_BYTES, KEY_BYTES
from edge_sdk.contract.limits import PACK_HEADER_BYTES
from edge_sdk.contract.pack import PREFIX, PackHeader, Sections, ValueField, parse_header
from edge_sdk.contract.pack import sections as sections_of
from edge_sdk.errors import ContractError, ExpiredPack, PackError, reason_of
from edge_sdk.model.keys import Canonicaliser
from edge_sdk.model.outputs import Vectors
from edge_sdk.packs.encoding import Read, reader
from edge_sdk.packs.layout import block_crc, check_structure
from edge_sdk.validation import path_of

if TYPE_CHECKING:
    from edge_sdk.model.release import Release

_CHUNK: Final = 1 << 20
ABSENT, IN_DAMAGED_BLOCK = -1, -2
_UNCHECKED, SOUND, _DAMAGED = 0, 1, 2
_top = struct.Struct(">I").unpack_from
"""The upper 32 bits of a key, as a tuple of one."""


class KeySearch(NamedTuple):
    """Where the key of a checksum is searched, for paths that do so without a call.

    Bucket ``check >> shift`` has the keys from ``directory[bucket]`` to the next, each of 16 bytes,
    from the offset ``keys`` of the file. ``blocks[check >> block_shift]`` must be :data:`SOUND`,
    else :meth:`Pack.find` says what there is.
    """

    find: Callable[[bytes, int, int], int]
    keys: int
    directory: memoryview
    shift: int
    blocks: bytearray
    block_shift: int


class Pack:
    """An open pack; :meth:`get` is safe from any number of threads.

    Attributes:
        damage: what was found damaged since it was opened; ``None`` for nothing.
    """

    def __init__(self, path: Path, header: PackHeader, sections: Sections, data: mmap.mmap) -> None:
        self.path = path
        self.header = header
        self._sections = sections
        self._data = data
        self.damage: str | None = None
        # Prepared once, so that a lookup allocates nothing but its answer.
        self._shift = 32 - header.directory_bits
        self._keys_at = sections.keys
        self._find = data.find
        self._filter_shift = 32 - header.filter_bits
        self._directory = _directory(header, sections, data)
        self._block_shift = 32 - header.check_bits
        self._blocks = bytearray(1 << header.check_bits)
        self._readers = _readers(header, sections, data)
        self._vectors = _only_vectors(header, sections, data)

    @classmethod
    def open(
        cls,
        path: str | Path,
        release: Release | None = None,
        *,
        canonicaliser: str | None = None,
        now: float | None = None,
    ) -> Pack:
        """Open the pack at ``path``.

        Args:
            path: pack file.
            release: release that it must be made for; ``None``: any, to inspect it.
            canonicaliser: canonicaliser of its keys; by default that of the release's inputs.
            now: Unix seconds for the expiry; by default the clock.

        Raises:
            PackError: the file is unreadable, truncated or expired, or was made for another release
                or canonicaliser.
        """
        where = path_of("pack", path, PackError)
        try:
            with where.open("rb") as file:
                # The longest header and its prefix; the rest is read by way of the mapping.
                head = file.read(PREFIX.size + PACK_HEADER_BYTES)
                header, directory = parse_header(head)
                data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError, ContractError) as error:
            raise PackError(f"{where}: cannot open the pack; {reason_of(error)}") from error
        sections = sections_of(header, directory)
        try:
            _check(where, header, sections, len(data), time.time() if now is None else now)
            if release is not None:
                _check_release(where, header, release, canonicaliser)
        except PackError:
            data.close()
            raise
        return cls(where, header, sections, data)

    def __repr__(self) -> str:
        header = self.header
        return f"<Pack of {header.count} entries for {header.model} {header.version}>"

    def __len__(self) -> int:
        return self.header.count

    def get(self, key: bytes) -> dict[str, NDArray[Any]] | None:
        """Return the outputs stored under ``key`` (16 bytes) by name, or ``None``."""
        # What find() and entry() do, without their calls: those took as long as the search.
        (check,) = _top(key)
        bucket, directory, begin = check >> self._shift, self._directory, self._keys_at
        first, end = KEY_BYTES * directory[bucket], KEY_BYTES * directory[bucket + 1]
        at = self._find(key, begin + first, begin + end) - begin
        if self._blocks[check >> self._block_shift] == SOUND:
            if at < 0:
                return None
            # Read once: another thread may be closing the pack.
            if not at % KEY_BYTES and (vectors := self._vectors) is not None:
                name, stored = vectors
                return {name: stored[at // KEY_BYTES].copy()}
        # The block is touched for the first time or damaged, or the match lies across two keys.
        entry = self.find(key)
        return None if entry < 0 else self.entry(entry)

    def find(self, key: bytes) -> int:
        """Return the entry of ``key``; :data:`ABSENT`, or :data:`IN_DAMAGED_BLOCK` if the file is
        damaged where it would be.
        """
        block = _top(key)[0] >> self._block_shift
        if self._blocks[block] != SOUND and not self._is_sound(block):
            return IN_DAMAGED_BLOCK
        return self._entry(key)

    @property
    def filter(self) -> tuple[mmap.mmap, int, int]:
        """The mapped file, the offset of its filter, and the right shift of a checksum.

        An input of checksum ``check`` (seeded with that of the prefix) cannot be in the pack unless
        ``file[offset + (check >> shift)] & 1 << (check & 7)``. The fast path tests that inline,
        without a call.
        """
        return self._data, self._sections.filter, self._filter_shift

    @property
    def search(self) -> KeySearch:
        """What a path needs that looks whole keys up inline, as answers by entity do."""
        return KeySearch(
            self._find, self._keys_at, self._directory, self._shift, self._blocks, self._block_shift
        )

    def finder(self, prefix: bytes) -> Callable[[int, bytes], int]:
        """Return a lookup by checksum and canonical bytes, which gives what :meth:`find` does.

        ``prefix`` is hashed before the bytes. Nearly every miss that passes the filter ends at the
        checksum; the digest is computed for likely hits only.
        """
        shift, directory, begin = self._shift, self._directory, self._keys_at
        data, find, sha256 = self._data, self._find, hashlib.sha256
        blocks, block_shift, sound = self._blocks, self._block_shift, SOUND

        def entry(check: int, canonical: bytes) -> int:
            bucket = check >> shift
            first, end = directory[bucket], directory[bucket + 1]
            at = find(check.to_bytes(4, "big"), begin + KEY_BYTES * first, begin + KEY_BYTES * end)
            if at < 0:
                return ABSENT
            digest = sha256(prefix + canonical).digest()[:DIGEST_BYTES]
            if (
                data[at + CHECK_BYTES : at + KEY_BYTES] == digest
                and not (at - begin) % KEY_BYTES
                and blocks[check >> block_shift] == sound
            ):
                return (at - begin) // KEY_BYTES
            # The checksum belongs to another input, the match lies across two keys, or the block is
            # touched for the first time: start over with the whole key.
            return self.find(check.to_bytes(4, "big") + digest)

        return entry

    def entry(self, index: int) -> dict[str, NDArray[Any]]:
        """Return the outputs of entry ``index`` by name."""
        return {name: read(index) for name, read in self._readers.items()}

    def vectors(self, name: str) -> Vectors | None:
        """Return how entries are read as tuples of Python floats, at half the cost of arrays.

        ``None`` unless the pack holds one output, ``name``, a vector of float32 or float64.
        """
        field = self.header.fields[0]
        plain = len(self.header.fields) == 1 and field.stored in ("float32", "float64")
        if not plain or field.name != name or field.encoding or len(field.shape) != 1:
            return None
        form = f"<{field.shape[0]}{FLOAT_CODES[field.stored]}"
        return Vectors(struct.Struct(form).unpack_from, *self.place(name)[:-1])

    def place(self, name: str) -> tuple[mmap.mmap, int, int, int]:
        """Return where an output lies: the mapped file, the offset of its first value, the bytes
        from one to the next, and those of each.
        """
        begin = self._sections.values
        for field in self.header.fields:
            if field.name == name:
                return self._data, begin, self.header.value_bytes, field.size
            begin += field.size
        raise PackError(f"{self.path}: expected the output {name}")

    def _entry(self, key: bytes) -> int:
        """Return the index of ``key`` among the sorted keys, or :data:`ABSENT`."""
        bucket = _top(key)[0] >> self._shift
        directory, begin = self._directory, self._keys_at
        end = begin + KEY_BYTES * directory[bucket + 1]
        at = self._find(key, begin + KEY_BYTES * directory[bucket], end)
        while at >= 0 and (at - begin) % KEY_BYTES:  # a match across two keys
            at = self._find(key, at + 1, end)
        return (at - begin) // KEY_BYTES if at >= 0 else ABSENT

    def _is_sound(self, block: int) -> bool:
        """Return whether the bytes of a block have its checksum, which is remembered."""
        if self._blocks[block] == _UNCHECKED:
            # Two threads may do this at once, with the same result.
            sound = self._matches(block)
            self._blocks[block] = SOUND if sound else _DAMAGED
            if not sound:
                self.damage = f"{self.path}: block {block} is damaged (CRC-32 differs)"
        return self._blocks[block] == SOUND

    def _matches(self, block: int) -> bool:
        places, header = self._sections, self.header
        step = 1 << (header.directory_bits - header.check_bits)
        buckets = np.asarray(self._directory[block * step : (block + 1) * step + 1])
        first, end = int(buckets[0]), int(buckets[-1])
        # A lie with a true checksum: what is found between two edges must be an entry.
        if end > header.count or (buckets[1:] < buckets[:-1]).any():
            return False
        with memoryview(self._data) as raw:
            edges = places.directory + 4 * block * step
            expected = raw[places.checks + 4 * block : places.checks + 4 * block + 4]
            values = places.values + header.value_bytes * first
            found = block_crc(
                raw[edges : edges + 4 * (step + 1)],
                raw[places.keys + KEY_BYTES * first : places.keys + KEY_BYTES * end],
                raw[values : values + header.value_bytes * (end - first)],
            )
            return found == int.from_bytes(expected, "little")

    def keys(self) -> NDArray[np.uint8]:
        """Return every key in order, [count, 16], as a copy."""
        start = self._sections.keys
        raw = self._data[start : start + KEY_BYTES * self.header.count]
        return np.frombuffer(raw, np.uint8).reshape(-1, KEY_BYTES)

    def verify(self) -> None:
        """Check every byte: SHA-256 of the body, order of the keys, directory, filter and checks.

        Raises:
            PackError: the content is damaged, or was written incorrectly.
        """
        for _ in self.steps():
            pass
        if self.damage is not None:
            raise PackError(self.damage)
        directory = np.asarray(self._directory, dtype=np.uint32)
        places = self._sections
        marks = np.ndarray(1 << self.header.filter_bits, np.uint8, self._data, places.filter)
        keys = np.ndarray((self.header.count, KEY_BYTES), np.uint8, self._data, places.keys)
        try:
            check_structure(directory, marks, keys)
        except PackError as error:
            raise PackError(f"{self.path}: {error}") from error
        wrong = [block for block in range(len(self._blocks)) if not self._matches(block)]
        if wrong:
            raise PackError(f"{self.path}: the checks do not fit: wrong at block {wrong[0]}")

    def steps(self) -> Iterator[int]:
        """Compare the SHA-256 of the body, some bytes at each step, which gives their number.

        At the end every block is known to be sound, or :attr:`damage` is set.
        """
        digest = hashlib.sha256()
        for start in range(self._sections.directory, self._sections.end, _CHUNK):
            end = min(start + _CHUNK, self._sections.end)
            # hashlib gives up the GIL for as long as it reads; no copy is made.
            with memoryview(self._data) as raw, raw[start:end] as part:
                digest.update(part)
            yield end - start
        if digest.hexdigest() != self.header.body:
            self.damage = self.damage or f"{self.path}: its content is damaged (SHA-256 differs)"
        else:
            self._blocks[:] = bytes((SOUND,)) * len(self._blocks)

    def close(self) -> None:
        """Unmap the file, or let it be unmapped when a lookup of another thread has ended."""
        self._directory.release()
        self._readers, self._vectors = {}, None
        # BufferError: an array of a running lookup still points into the mapping.
        with contextlib.suppress(BufferError):
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


def usable(
    path: Path | None,
    release: Release,
    damaged: Callable[[str], None],
    canonicaliser: str | None = None,
) -> Pack | None:
    """Return the pack at ``path``, or ``None`` if it does not open for ``release`` now.

    An expired or damaged pack never stops the model from serving.

    Args:
        path: pack file, or ``None``.
        release: release that it must be made for.
        damaged: called with the reason if the file is missing or damaged.
        canonicaliser: canonicaliser of its keys; by default that of the release's inputs.
    """
    try:
        return None if path is None else Pack.open(path, release, canonicaliser=canonicaliser)
    except ExpiredPack:
        return None
    except PackError as error:
        damaged(str(error))
        return None


def _directory(header: PackHeader, sections: Sections, data: mmap.mmap) -> memoryview:
    """Return the directory as integers in this machine's byte order."""
    end = sections.directory + 4 * ((1 << header.directory_bits) + 1)
    if sys.byteorder == "little":
        return memoryview(data)[sections.directory : end].cast("I")
    swapped = np.frombuffer(data[sections.directory : end], "<u4").astype("=u4")
    return memoryview(swapped.tobytes()).cast("I")


def _readers(header: PackHeader, sections: Sections, data: mmap.mmap) -> dict[str, Read]:
    """Return the reader of each output."""
    readers, offset = {}, sections.values
    for field in header.fields:
        readers[field.name] = reader(field, _rows(header, field, data, offset))
        offset += field.size
    return readers


def _only_vectors(
    header: PackHeader, sections: Sections, data: mmap.mmap
) -> tuple[str, NDArray[Any]] | None:
    """Return name and rows of the only output, if its values are stored as they are declared."""
    field, *others = header.fields
    plain = not field.encoding and field.stored == field.dtype and len(field.shape) > 0
    if others or not plain or sys.byteorder != "little":
        return None
    return field.name, _rows(header, field, data, sections.values)


def _rows(header: PackHeader, field: ValueField, data: mmap.mmap, offset: int) -> NDArray[Any]:
    """Return the stored values of ``field``, [count, ...], as a view of the file at ``offset``."""
    dtype = np.dtype(field.stored).newbyteorder("<")
    if header.count == 0:
        return np.empty((0, *field.shape), dtype)
    # Values are rows of all fields together: the stride of one field is the whole row.
    strides = (header.value_bytes, *np.empty(field.shape, dtype).strides)
    return np.ndarray((header.count, *field.shape), dtype, data, offset, strides)


def _check(path: Path, header: PackHeader, sections: Sections, length: int, now: float) -> None:
    if length != sections.end:
        raise PackError(f"{path}: expected {sections.end} bytes, got {length}; it is truncated")
    if header.expires is not None and now >= header.expires:
        raise ExpiredPack(f"{path}: expired at {header.expires} (Unix seconds)")


def _check_release(
    path: Path, header: PackHeader, release: Release, canonicaliser: str | None
) -> None:
    if header.manifest != release.digest:
        raise PackError(
            f"{path}: made for release {header.model} {header.version} ({header.manifest[:12]}…), "
            f"this is {release.manifest.model} {release.manifest.version} ({release.digest[:12]}…)"
        )
    expected = canonicaliser or Canonicaliser(release.manifest.signature).name
    if header.canonicaliser != expected:
        raise PackError(f"{path}: keys of {header.canonicaliser}, expected {expected}")
