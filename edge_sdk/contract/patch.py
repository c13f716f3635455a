"""The patch: how a file travels that is large, alone or as changes to one that the device has.

A patch is one zstd frame, whose content is, all integers little-endian and without padding::

    prefix      8 bytes magic, u32 format, u32 length of the header
    header      UTF-8 JSON of PatchHeader
    segments    which make the result one after the other, until it has its length

A segment is a head, ``u8 kind, u8 width, u64 offset, u64 length``, and its body:

======  ======================================================================================
kind    the next ``length`` bytes of the result are
======  ======================================================================================
0 copy  those of the base from ``offset``; no body
1 data  the body, shuffled; ``offset`` is 0
2 diff  those of the base from ``offset``, each word of ``width`` bytes with the body's added,
        modulo 2 to the power of its bits; the body is folded and shuffled
======  ======================================================================================

*Shuffled*: in blocks of :data:`BLOCK_WORDS` words (the last may be shorter), first the lowest byte
of each word, then the next, so that what is predictable stands together. *Folded*: a difference of
0, -1, 1, -2, … is stored as 0, 1, 2, 3, …, so that small ones of either sign have zeros above.
``length`` is a multiple of ``width`` (1, 2, 4 or 8), and at least 1.

A patch is not signed. It need not be: whoever applies it holds the signed digest of the result, and
reads no more of it than the result's length allows.

To change any of this: a new PATCH_FORMAT, see ``version.py``.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from edge_sdk.contract.codec import decode, encode
from edge_sdk.contract.errors import ContractError, require
from edge_sdk.contract.limits import MANIFEST_BYTES
from edge_sdk.contract.manifest import FileRef
from edge_sdk.contract.names import check_digest
from edge_sdk.contract.version import PATCH_FORMAT

MAGIC: Final = b"EDGEPTCH"
PREFIX: Final = struct.Struct("<8sII")
SEGMENT: Final = struct.Struct("<BBQQ")
COPY, DATA, DIFF = 0, 1, 2
WIDTHS: Final = (1, 2, 4, 8)
BLOCK_WORDS: Final = 1 << 17

HEADER_BYTES: Final = 1 << 12
WINDOW_LOG: Final = 22
"""A frame that wants more than 4 MiB of window is refused: it would be the device's memory."""

FORMS: Final = 64
"""Forms of one file in an index."""


@dataclass(frozen=True)
class PatchHeader:
    """The result of a patch, and the file that it is made of, if it is."""

    result: FileRef
    base: FileRef | None = None

    def to_bytes(self) -> bytes:
        """Return prefix and header."""
        text = encode(self)
        return PREFIX.pack(MAGIC, PATCH_FORMAT, len(text)) + text


@dataclass(frozen=True)
class Segment:
    """The head of a segment."""

    kind: int
    width: int
    offset: int
    length: int

    def to_bytes(self) -> bytes:
        """Return the head as it is stored."""
        return SEGMENT.pack(self.kind, self.width, self.offset, self.length)


def header_length(prefix: bytes) -> int:
    """Return the length of the header that follows ``prefix``; raises :class:`ContractError`."""
    magic, number, length = PREFIX.unpack(prefix)
    if magic != MAGIC:
        raise ContractError("patch: this is not a patch (wrong magic)")
    if number != PATCH_FORMAT:
        raise ContractError(f"patch: expected format {PATCH_FORMAT}, got {number}; update edge_sdk")
    require(length <= HEADER_BYTES, f"patch: expected a header of at most {HEADER_BYTES} bytes")
    return int(length)


def parse_header(text: bytes) -> PatchHeader:
    """Parse the header; raises :class:`ContractError`."""
    return decode(PatchHeader, text, limit=HEADER_BYTES)


def parse_segment(raw: bytes, base: int, room: int) -> Segment:
    """Return the segment whose head is ``raw``.

    Args:
        raw: :data:`SEGMENT` bytes.
        base: length of the base in bytes; 0 if there is none.
        room: bytes of the result that are not made yet.

    Raises:
        ContractError: it reaches beyond the base or the result, or is of no known kind.
    """
    segment = Segment(*SEGMENT.unpack(raw))
    known = segment.kind in (COPY, DATA, DIFF) and segment.width in WIDTHS
    require(known, f"patch: expected a known segment, got kind {segment.kind}")
    whole_words = segment.length % segment.width == 0
    require(whole_words, "patch: expected whole words in a segment")
    require(0 < segment.length <= room, "patch: a segment reaches beyond the result")
    if segment.kind != DATA:
        require(segment.offset + segment.length <= base, "patch: a segment reaches beyond the base")
    return segment


@dataclass(frozen=True)
class Form:
    """A patch that the hub offers: the digest of its base, if it has one, and its own."""

    file: FileRef
    base: str | None = None

    def __post_init__(self) -> None:
        if self.base is not None:
            check_digest("base", self.base)


@dataclass(frozen=True)
class FormIndex:
    """The forms in which the files of a release or a pack can be had, by the file's SHA-256.

    Like the patches it is not signed: what it says decides which bytes are asked for, never which
    are believed.
    """

    forms: Mapping[str, tuple[Form, ...]]

    def __post_init__(self) -> None:
        for digest, forms in self.forms.items():
            check_digest("forms", digest)
            require(len(forms) <= FORMS, f"forms: expected at most {FORMS} of a file")

    @classmethod
    def from_json(cls, raw: bytes) -> FormIndex:
        """Parse; raises :class:`ContractError`."""
        return decode(cls, raw, limit=MANIFEST_BYTES)

    def to_json(self) -> bytes:
        """Return the canonical bytes."""
        return encode(self)


def index_path(key: str) -> str:
    """Return the path of the index of a release (SHA-256 of its manifest) or a pack (its own)."""
    check_digest("forms", key)
    return f"/v1/forms/{key}"


def form_path(key: str, form: Form) -> str:
    """Return the path of a form's bytes, which names their content."""
    return f"{index_path(key)}/{form.file.sha256}"
