"""Bytes of an ONNX file, with lists of numbers packed.

ONNX declares the lists of a node's attributes unpacked: every integer and float costs a byte of its
own besides its value. Every protobuf reader takes the packed form too, as the encoding's rules ask.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from typing import IO, Any, Final

from converters.lowering.graph import rename
from converters.onnx_export.external_weights import raw_values, values_bytes
from converters.onnx_export.protobuf_bytes import BYTES, GRAPH, INITIALIZER, RAW_DATA, field, head

NODE, ATTRIBUTE, FLOATS, INTS = 1, 5, 7, 8
"""Fields of GraphProto, NodeProto and AttributeProto."""

_VARINT, _EIGHT, _FOUR = 0, 1, 5
_PATH: Final = (GRAPH, NODE, ATTRIBUTE)

Field = tuple[int, int, bytes]
"""Number, wire type, content; for bytes without their length."""


def to_bytes(proto: Any) -> bytes:
    """Return a ModelProto as deterministic bytes, its inner tensors under short names."""
    result = io.BytesIO()
    write(proto, result)
    return result.getvalue()


def write(proto: Any, file: IO[bytes]) -> None:
    """Write the bytes of a ModelProto to a file; see :func:`to_bytes`.

    Of the initializers, most of a large model, only one at a time is in memory once more.
    """
    outer = {value.name for value in (*proto.graph.input, *proto.graph.output)}
    short: dict[str, str] = {}
    free = (name for name in map("t{:x}".format, itertools.count()) if name not in outer)

    def named(name: str) -> str:
        if not name or name in outer:
            return name
        if name not in short:
            short[name] = next(free)
        return short[name]

    tensors = proto.graph.initializer
    names = [named(tensor.name) for tensor in tensors]
    light = _without(proto, ("graph",))
    light.graph.CopyFrom(_without(proto.graph, ("initializer", "value_info")))
    rename(light.graph, named)
    packed = _pack_below(light.SerializeToString(deterministic=True), _PATH)
    _write_joined(file, packed, tensors, names)


def _without(message: Any, left_out: tuple[str, ...]) -> Any:
    """Return a copy of a message without some of its fields."""
    copy = type(message)()
    for each, value in message.ListFields():
        if each.name in left_out:
            continue
        if hasattr(value, "MergeFrom"):  # of messages, and of repeated fields
            getattr(copy, each.name).MergeFrom(value)
        else:
            setattr(copy, each.name, value)
    return copy


def _write_joined(file: IO[bytes], model: bytes, tensors: Any, names: list[str]) -> None:
    """Write a model with ``tensors`` under ``names`` as its initializers."""
    before: list[bytes] = []
    after: list[bytes] = []
    graph = b""
    for number, kind, content in _fields(model):
        if number == GRAPH:
            graph = content
        else:
            (after if graph else before).append(field(number, kind, content))
    fields = list(_fields(graph))
    front = b"".join(field(*each) for each in fields if each[0] < INITIALIZER)
    tail = b"".join(field(*each) for each in fields if each[0] > INITIALIZER)
    heads = [_initializer_head(tensor, name) for tensor, name in zip(tensors, names, strict=True)]
    sizes = [len(start) + tensor_bytes for start, tensor_bytes in heads]
    file.write(b"".join(before))
    file.write(head(GRAPH, len(front) + sum(sizes) + len(tail)))
    file.write(front)
    for tensor, (start, _) in zip(tensors, heads, strict=True):
        file.write(start)
        file.writelines(raw_values(tensor))
    file.write(tail)
    file.write(b"".join(after))


def _initializer_head(tensor: Any, name: str) -> tuple[bytes, int]:
    """Return all that comes before the raw values of a tensor, and how many bytes these are.

    The values stand last, as they are: protobuf's own writer would need several times their size.
    """
    values = values_bytes(tensor)
    rest = _without(tensor, ("raw_data", "external_data", "data_location"))
    rest.name = name
    start = rest.SerializeToString(deterministic=True)
    if values:
        start += head(RAW_DATA, values)
    return head(INITIALIZER, len(start) + values) + start, values


def _pack_below(raw: bytes, path: tuple[int, ...]) -> bytes:
    if not path:
        return _pack_attribute(raw)
    return b"".join(
        field(number, kind, _pack_below(content, path[1:]))
        if (number, kind) == (path[0], BYTES)
        else field(number, kind, content)
        for number, kind, content in _fields(raw)
    )


def _pack_attribute(raw: bytes) -> bytes:
    lists: dict[int, list[bytes]] = {FLOATS: [], INTS: []}
    others = []
    for number, kind, content in _fields(raw):
        if number in lists and kind in (_VARINT, _FOUR):
            lists[number].append(content)
        else:
            others.append(field(number, kind, content))
    packed = [field(number, BYTES, b"".join(values)) for number, values in lists.items() if values]
    return b"".join(others + packed)


def _fields(raw: bytes) -> Iterator[Field]:
    at = 0
    while at < len(raw):
        # A key is the field's number, and in its last three bits how its content is encoded.
        key, at = _varint(raw, at)
        kind = key & 7
        if kind == _VARINT:
            end = _varint(raw, at)[1]
        elif kind == BYTES:
            size, at = _varint(raw, at)
            end = at + size
        else:
            end = at + {_EIGHT: 8, _FOUR: 4}[kind]
        yield key >> 3, kind, raw[at:end]
        at = end


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    """Return the variable-length integer at ``at``, and the place after it."""
    value = shift = 0
    while True:
        byte = raw[at]
        # Seven bits a byte, the lowest first; the eighth bit says that more follow.
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
