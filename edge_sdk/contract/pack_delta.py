"""The delta file: differences between two packs of one model, entry by entry.

Layout, all integers little-endian, sections one after the other without padding::

    prefix           8 bytes magic, u32 format, u32 length of the header
    header           UTF-8 JSON of DeltaHeader
    head             the new pack from its first byte to its directory
    removed          indices of old entries that are not in the new pack
    changed          indices of old entries that have another value
    changed values   one value each
    added            indices of new entries that the old pack does not have
    added keys       16 bytes each
    added values     one value each
    seal             SHA-256 of everything before it

Indices ascend strictly. They are stored as gaps: the first index plus one, then each difference to
the one before, each gap in ``width`` bytes (1, 2 or 4). The directory of the new pack is not in
the file: it follows from the keys.

To change any of this: a new DELTA_FORMAT, see ``version.py``.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from edge_sdk.contract.codec import decode, encode
from edge_sdk.contract.errors import ContractError, require
from edge_sdk.contract.key import KEY_BYTES
from edge_sdk.contract.limits import PACK_HEADER_BYTES
from edge_sdk.contract.manifest import FileRef
from edge_sdk.contract.names import check_digest, check_name
from edge_sdk.contract.version import DELTA_FORMAT

if TYPE_CHECKING:
    from edge_sdk.contract.pack import PackHeader

MAGIC: Final = b"EDGEDLTA"
PREFIX: Final = struct.Struct("<8sII")
SEAL_BYTES: Final = 32
Width = Literal[1, 2, 4]


@dataclass(frozen=True)
class Indices:
    """A section of indices: their number, and the bytes of each gap."""

    count: int
    width: Width

    def __post_init__(self) -> None:
        require(self.count >= 0, "count: expected at least 0")

    @property
    def size(self) -> int:
        """Bytes of the section."""
        return self.count * self.width


@dataclass(frozen=True)
class DeltaHeader:
    """Old and new pack of a delta, and the lengths of its sections.

    ``base`` is the SHA-256 of the old pack from its first byte to its directory; since that part
    holds the SHA-256 of the rest, it names the whole file. ``result`` is the whole new file.
    """

    base: str
    result: FileRef
    head: int
    value_bytes: int
    removed: Indices
    changed: Indices
    added: Indices

    def __post_init__(self) -> None:
        check_digest("base", self.base)
        # A pack's head is its header with prefix and padding; twice the header's limit is ample.
        require(
            0 < self.head <= 2 * PACK_HEADER_BYTES, "head: expected the length of a pack's header"
        )
        require(self.value_bytes > 0, "value_bytes: expected at least 1")

    def to_bytes(self) -> bytes:
        """Return prefix and header."""
        text = encode(self)
        return PREFIX.pack(MAGIC, DELTA_FORMAT, len(text)) + text

    @property
    def sizes(self) -> tuple[int, ...]:
        """Bytes of each section from ``head`` to the added values, in the order of the file."""
        return (
            self.head,
            self.removed.size,
            self.changed.size,
            self.changed.count * self.value_bytes,
            self.added.size,
            self.added.count * KEY_BYTES,
            self.added.count * self.value_bytes,
        )


def parse_delta_header(raw: bytes) -> tuple[DeltaHeader, int]:
    """Return the header at the beginning of ``raw``, and the offset of its end.

    Raises:
        ContractError: not a delta, an unknown format, or a truncated or invalid header.
    """
    if len(raw) < PREFIX.size:
        raise ContractError(f"delta: expected at least {PREFIX.size} bytes, got {len(raw)}")
    magic, number, length = PREFIX.unpack_from(raw)
    if magic != MAGIC:
        raise ContractError("delta: this is not a delta between packs (wrong magic)")
    if number != DELTA_FORMAT:
        raise ContractError(f"delta: expected format {DELTA_FORMAT}, got {number}; update edge_sdk")
    end = PREFIX.size + length
    if length > PACK_HEADER_BYTES or end > len(raw):
        raise ContractError("delta: the header is truncated or too large")
    return decode(DeltaHeader, raw[PREFIX.size : end], limit=PACK_HEADER_BYTES), end


def why_no_delta(old: PackHeader, new: PackHeader) -> str | None:
    """Return the reason that there can be no delta between two packs; ``None`` if there can."""
    if old.model != new.model:
        return f"they are packs of two models, {old.model} and {new.model}"
    if [field.layout for field in old.fields] != [field.layout for field in new.fields]:
        return "their values are laid out differently"
    return None


def delta_target(model: str, base: str, result: str) -> str:
    """Return the path of the signed target of a delta.

    Args:
        model: name of the model.
        base: SHA-256 of the old pack file.
        result: SHA-256 of the new one.
    """
    check_name("model", model)
    return f"packs/{model}/{base}-{result}.delta"
