"""Where the weights of an ONNX file lie in its bytes, by reading its protobuf structure alone.

Pure. Only tags and lengths are read: a file of gigabytes costs a walk over its nodes. What is not
understood is no error: such bytes are compared as bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_WIDTHS: Final = {
    **dict.fromkeys((2, 3, 9), 1),  # int8, uint8, bool
    **dict.fromkeys((4, 5, 10, 16), 2),  # (u)int16, float16, bfloat16
    **dict.fromkeys((1, 6, 12), 4),  # float, int32, uint32
    **dict.fromkeys((7, 11, 13), 8),  # int64, double, uint64
}
"""Bytes of an element by TensorProto.DataType; all others are compared byte by byte."""

# Field numbers of onnx.proto.
_GRAPH: Final = 7
_NODE, _INITIALIZER = 1, 5
_OUTPUT, _ATTRIBUTE = 2, 5
_ATTRIBUTE_NAME, _TENSOR, _SUBGRAPH = 1, 5, 6
_DATA_TYPE, _FLOATS, _NAME, _RAW, _DOUBLES = 2, 4, 8, 9, 10
_DEEPEST: Final = 8
"""Graphs within graphs (If, Loop) that are entered."""


@dataclass(frozen=True)
class Tensor:
    """Elements of ``width`` bytes, in the bytes from ``start`` up to ``stop`` of the file."""

    name: str
    width: int
    start: int
    stop: int

    @property
    def length(self) -> int:
        """Bytes."""
        return self.stop - self.start


def tensors(raw: memoryview) -> list[Tensor]:
    """Return the tensors of an ONNX file in the order of the file; none if it is something else."""
    try:
        found = [
            tensor
            for number, start, stop in _fields(raw, 0, len(raw))
            if number == _GRAPH
            for tensor in _graph(raw, start, stop, "", 0)
        ]
    except (ValueError, IndexError):
        return []
    return sorted(found, key=lambda tensor: tensor.start)


def _fields(raw: memoryview, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield (field number, start, stop) of each field; a varint's are where its value stands."""
    while at < end:
        tag, at = _varint(raw, at, end)
        number, kind = tag >> 3, tag & 7
        start = at
        if kind == 0:
            _, at = _varint(raw, at, end)
        elif kind == 1:
            at += 8
        elif kind == 2:
            length, start = _varint(raw, at, end)
            at = start + length
        elif kind == 5:
            at += 4
        else:
            raise ValueError("groups are not used by ONNX")
        if at > end or number == 0:
            raise ValueError("the field ends beyond its message")
        yield number, start, at


def _varint(raw: memoryview, at: int, end: int) -> tuple[int, int]:
    """Return a varint's value and the offset after it."""
    value = shift = 0
    while at < end and shift < 64:
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError("a varint has no end")


def _graph(raw: memoryview, at: int, end: int, place: str, depth: int) -> Iterator[Tensor]:
    for number, start, stop in _fields(raw, at, end):
        if number == _INITIALIZER:
            yield from _tensor(raw, start, stop, place)
        elif number == _NODE:
            yield from _node(raw, start, stop, place, depth)


def _node(raw: memoryview, at: int, end: int, place: str, depth: int) -> Iterator[Tensor]:
    """A node's constants and subgraphs, named by its outputs, which are unique in a graph."""
    attributes, name = [], place
    for number, start, stop in _fields(raw, at, end):
        if number == _OUTPUT:
            name += "/" + _text(raw, start, stop)
        elif number == _ATTRIBUTE:
            attributes.append((start, stop))
    for first, last in attributes:
        parts = list(_fields(raw, first, last))
        own = name + "".join("." + _text(raw, a, b) for n, a, b in parts if n == _ATTRIBUTE_NAME)
        for number, start, stop in parts:
            if number == _TENSOR:
                yield from _tensor(raw, start, stop, own)
            elif number == _SUBGRAPH and depth < _DEEPEST:
                yield from _graph(raw, start, stop, own, depth + 1)


def _tensor(raw: memoryview, at: int, end: int, place: str) -> Iterator[Tensor]:
    name, kind, data = "", 0, None
    for number, start, stop in _fields(raw, at, end):
        if number == _NAME:
            name = _text(raw, start, stop)
        elif number == _DATA_TYPE:
            kind = _varint(raw, start, stop)[0]
        elif number in (_RAW, _FLOATS, _DOUBLES):
            data = (number, start, stop)
    if data is None:
        return
    number, start, stop = data
    width = {_FLOATS: 4, _DOUBLES: 8}.get(number) or _WIDTHS.get(kind, 1)
    if stop > start and (stop - start) % width == 0:
        yield Tensor(f"{place}:{name}", width, start, stop)


def _text(raw: memoryview, start: int, stop: int) -> str:
    return bytes(raw[start : min(stop, start + 1_000)]).decode("utf-8", "replace")
