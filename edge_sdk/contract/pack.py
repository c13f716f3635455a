"""The pack file: precomputed answers of one release, in one immutable memory-mapped file.

Layout, all integers little-endian, every section aligned to :data:`ALIGNMENT` bytes::

    prefix     8 bytes magic, u32 format, u32 length and u32 CRC-32 of the header
    header     UTF-8 JSON of PackHeader
    directory  u32[2**directory_bits + 1]: first entry of each bucket, then the count
    checks     u32[2**check_bits]: CRC-32 of each block
    filter     u8[2**filter_bits]: bits that are set where there may be such a key
    keys       count x 16 bytes, sorted as big-endian 128-bit integers
    values     count x value_bytes, entry i belongs to key i

A key is the CRC-32 (big-endian) and the first 12 bytes of the SHA-256 of (canonicaliser name, NUL,
canonical bytes of the input). Bucket ``b`` holds the keys whose top ``directory_bits`` bits are
``b``. The filter has a byte for the top ``filter_bits`` bits of a checksum, and in it a bit
for the lowest three; where that is not set there is no such key, so most misses end there. A value
is the concatenation of its outputs, each row-major in its declared dtype, or, where the field says
so, in a shorter encoding from which readers restore the declared dtype.

Block ``b`` is the buckets whose top ``check_bits`` bits are ``b``; its checksum is over their part
of the directory (both ends included), their keys and their values. So a reader finds what a disk
has damaged by reading what it is about to use. The filter has no checksum: a bit that is missing
there is a miss, and one too many changes nothing. ``docs/PACK.md`` is the whole specification, for
readers in other languages.

To change any of this: a new PACK_FORMAT, see ``version.py``.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Final, Literal

from edge_sdk.contract.codec import decode, encode
from edge_sdk.contract.dtypes import FLOAT_CODES, ITEM_BYTES, NumericDtype
from edge_sdk.contract.errors import ContractError, require
from edge_sdk.contract.key import ENTITY, ENTITY_ANSWERS, KEY_BYTES
from edge_sdk.contract.limits import LATEST, PACK_HEADER_BYTES, VALUE_AXES, VALUE_BYTES
from edge_sdk.contract.manifest import Label, Role
from edge_sdk.contract.names import Version, check_digest, check_name
from edge_sdk.contract.version import PACK_FORMAT

MAGIC: Final = b"EDGEPACK"
PREFIX: Final = struct.Struct("<8sIII")
ALIGNMENT: Final = 64
Encoding = Literal["float16", "uint8"]
FLOATS: Final = tuple(FLOAT_CODES)
"""Dtypes that can be stored in a shorter encoding."""


COMPUTED_AT: Final = "@computed_at"
"""Field of entity features: when the oldest value of an entity was computed, Unix seconds."""

STALE_AT: Final = "@stale_at"
"""Field of entity features: when the first value of an entity gets stale, Unix seconds."""


@dataclass(frozen=True)
class ValueField:
    """One output inside a value: ``shape`` without the batch axis.

    Readers get ``dtype``; without ``encoding`` it is also stored. ``float16`` stores IEEE half
    precision, widened by the reader. ``uint8`` stores codes 0 to 255, read as
    ``offset + scale * code`` in double precision, rounded once to ``dtype``. ``max_error`` is the
    largest absolute difference between a read and the original value, over all entries.
    """

    name: str
    role: Role
    dtype: NumericDtype
    shape: tuple[int, ...] = ()
    encoding: Encoding | None = None
    scale: float | None = None
    offset: float | None = None
    max_error: float = 0.0

    def __post_init__(self) -> None:
        require(all(n > 0 for n in self.shape), "shape: expected at least 1")
        require(len(self.shape) <= VALUE_AXES, f"shape: expected at most {VALUE_AXES} axes")
        affine = self.encoding == "uint8"
        require((self.scale is not None) is affine, "scale: expected with uint8 and only there")
        require((self.offset is not None) is affine, "offset: expected with uint8 and only there")
        fits = self.encoding is None or self.dtype in FLOATS
        require(fits, f"encoding: expected a dtype of {FLOATS}, got {self.dtype}")
        require(self.max_error >= 0, "max_error: expected at least 0")

    @property
    def stored(self) -> NumericDtype:
        """The dtype of the bytes in the file."""
        return self.encoding or self.dtype

    @property
    def size(self) -> int:
        """Bytes of one value."""
        return ITEM_BYTES[self.stored] * prod(self.shape)

    @property
    def layout(self) -> tuple[object, ...]:
        """Properties that two fields must share for their bytes to mean the same."""
        form = (self.dtype, self.shape, self.encoding)
        return (self.name, self.role, *form, self.scale, self.offset)


@dataclass(frozen=True)
class EntityPackInfo:
    """What a pack of answers by entity says of all of them.

    Attributes:
        job: batch job that computed them.
        generation: its number at the hub.
        computed_at: Unix seconds.
        classes: of a classifier, in the order of the probabilities; a stored label is an index.
        threshold: of a multilabel model: the score from which a class is given.
        top: most items of a ranked list; 0 for answers that are none. The field ``items`` holds
            their names in UTF-8 with a NUL between two, padded with NULs; ``scores`` theirs.
        share: the value of an attribute whose entities these are; ``None`` for all entities.
        default: answer to other entities, a class or a number; ``None`` for none.
        default_items: the same for ranked lists.
    """

    job: str
    generation: int
    computed_at: float
    classes: tuple[Label, ...] = ()
    threshold: float = 0.5
    top: int = 0
    share: str | None = None
    default: Label | float | None = None
    default_items: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_name("job", self.job)
        require(self.generation >= 0, "generation: expected at least 0")
        require(0 <= self.computed_at <= LATEST, f"computed_at: expected 0 to {LATEST}")
        require(self.top >= 0, "top: expected at least 0")


@dataclass(frozen=True)
class PackHeader:
    """Release that a pack is made for, and layout of its values.

    ``manifest`` is the release (SHA-256 of its manifest) whose inputs the keys canonicalise;
    ``answered_by`` is the version that gave the answers (often the cloud model's). ``expires`` is
    Unix seconds. ``body`` is the SHA-256 of everything after the header, padding included.

    A pack of entity features (canonicaliser :data:`ENTITY`) holds inputs instead of answers: its
    fields are columns of the release. ``defaults`` gives each a value for entities that are not in
    it; a column of text is stored as an index into its ``categories``.

    A pack of answers by entity (:data:`ENTITY_ANSWERS`) belongs to no release of the device:
    ``version`` and ``manifest`` are those of the release that answered, and ``entities`` has what
    makes predictions of the stored values.
    """

    model: str
    version: str
    manifest: str
    canonicaliser: str
    count: int
    directory_bits: int
    filter_bits: int
    fields: tuple[ValueField, ...]
    answered_by: str
    body: str
    expires: int | None = None
    # int before float: a default of int64 beyond 2^53 would be rounded.
    defaults: Mapping[str, int | float | bool | str | None] = field(default_factory=dict)
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    check_bits: int = 0
    entities: EntityPackInfo | None = None

    def __post_init__(self) -> None:
        check_name("model", self.model)
        Version.parse(self.version)
        check_digest("manifest", self.manifest)
        check_digest("body", self.body)
        require(self.count >= 0, "count: expected at least 0")
        # These bound the memory that a header can make a reader use: 64 MiB and 512 MiB.
        require(0 <= self.directory_bits <= 24, "directory_bits: expected 0 to 24")
        require(0 <= self.filter_bits <= 29, "filter_bits: expected 0 to 29")
        fits = 0 <= self.check_bits <= self.directory_bits
        require(fits, "check_bits: expected 0 to directory_bits")
        require(bool(self.fields), "fields: expected at least one")
        require(self.value_bytes <= VALUE_BYTES, f"fields: expected up to {VALUE_BYTES:,} bytes")
        lasts = self.expires is None or 0 <= self.expires <= LATEST
        require(lasts, f"expires: expected 0 to {LATEST}")
        names = {f.name for f in self.fields}
        require(len(names) == len(self.fields), "fields: expected different names")
        columns = names if self.canonicaliser == ENTITY else set()
        require(set(self.defaults) == columns, f"defaults: expected those of {sorted(columns)}")
        single = not columns or not any(f.shape for f in self.fields)
        require(single, "fields: expected columns of one value each")
        whole = {f.name for f in self.fields if f.dtype not in (*FLOATS, "bool")}
        fits = set(self.categories) <= columns & whole
        require(fits, "categories: expected those of columns of integers")
        by_entity = self.canonicaliser == ENTITY_ANSWERS
        require((self.entities is not None) is by_entity, "entities: expected of answers by entity")

    @property
    def value_bytes(self) -> int:
        """Bytes of one value."""
        return sum(f.size for f in self.fields)

    def to_bytes(self) -> bytes:
        """Return prefix and header, padded to the directory."""
        text = encode(self)
        raw = PREFIX.pack(MAGIC, PACK_FORMAT, len(text), zlib.crc32(text)) + text
        return raw + bytes(-len(raw) % ALIGNMENT)


@dataclass(frozen=True)
class Sections:
    """Byte offsets of the sections, and the length of the whole file."""

    directory: int
    checks: int
    filter: int
    keys: int
    values: int
    end: int


def sections(header: PackHeader, directory: int) -> Sections:
    """Return the offsets of a pack whose directory begins at byte ``directory``."""
    buckets = 1 << header.directory_bits
    checks = aligned(directory + 4 * (buckets + 1))
    filter_ = aligned(checks + 4 * (1 << header.check_bits))
    keys = aligned(filter_ + (1 << header.filter_bits))
    values = aligned(keys + KEY_BYTES * header.count)
    end = aligned(values + header.value_bytes * header.count)
    return Sections(directory, checks, filter_, keys, values, end)


def parse_header(raw: bytes) -> tuple[PackHeader, int]:
    """Return the header at the beginning of ``raw``, and the offset of the directory.

    Raises:
        ContractError: not a pack, an unknown format, or a truncated, damaged or invalid header.
    """
    if len(raw) < PREFIX.size:
        raise ContractError(f"pack: expected at least {PREFIX.size} bytes, got {len(raw)}")
    magic, number, length, crc = PREFIX.unpack_from(raw)
    # The magic first: a file of another kind is not a pack of an unknown format.
    if magic != MAGIC:
        raise ContractError("pack: this is not a pack file (wrong magic)")
    if number != PACK_FORMAT:
        raise ContractError(f"pack: expected format {PACK_FORMAT}, got {number}; update edge_sdk")
    if length > PACK_HEADER_BYTES or PREFIX.size + length > len(raw):
        raise ContractError("pack: the header is truncated or too large")
    text = raw[PREFIX.size : PREFIX.size + length]
    if zlib.crc32(text) != crc:
        raise ContractError("pack: the header is damaged (CRC-32 differs)")
    return decode(PackHeader, text, limit=PACK_HEADER_BYTES), aligned(PREFIX.size + length)


def aligned(offset: int) -> int:
    """Round ``offset`` up to a multiple of :data:`ALIGNMENT`."""
    # -n % m is the distance from n up to the next multiple of m.
    return offset + -offset % ALIGNMENT
