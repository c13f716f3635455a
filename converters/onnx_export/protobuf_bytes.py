"""Bytes of protobuf, written field by field: its own writer would hold a large message twice."""

from __future__ import annotations

from typing import Final

from edge_sdk.model.protobuf_fields import varint

GRAPH, INITIALIZER, RAW_DATA = 7, 5, 9
"""Fields of ModelProto, GraphProto and TensorProto."""

BYTES: Final = 2
"""Wire type of a content that stands behind its length."""


def field(number: int, kind: int, content: bytes) -> bytes:
    """Return a field of a wire type; the content of bytes is given without its length."""
    size = varint(len(content)) if kind == BYTES else b""
    return varint(number << 3 | kind) + size + content


def head(number: int, size: int) -> bytes:
    """Return what stands before the content of a field of ``size`` bytes."""
    return varint(number << 3 | BYTES) + varint(size)
