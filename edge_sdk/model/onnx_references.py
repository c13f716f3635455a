"""Finds what an ONNX file refers to outside of itself, without parsing it whole.

A release is its files, and its model is one of them. What a model would read from elsewhere
(weights as external data, a compiled graph of an accelerator) no signature covers, and a path such
as ``../../keys/online.pem`` would make weights of a secret. Runtimes check such paths, newer ones
better than older ones; here there are none.

Only the tags of protobuf are walked, and only where one of two words occurs in the file: a model of
200 MB without them costs one search of its bytes.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from edge_sdk.errors import ReleaseError
from edge_sdk.model.protobuf_fields import fields

_WORDS: Final = (b"location", b"EPContext")
"""Key of every reference to external data; operator of compiled graphs in other files."""

_PIECE: Final = 1 << 20
"""Bytes that are searched at a time."""

_DEPTH: Final = 64
"""Graphs within graphs (loops, branches) that a file may nest."""

_GRAPH, _NODE, _ATTRIBUTE, _TENSOR, _SPARSE, _FUNCTION, _TRAINING = (
    "graph", "node", "attribute", "tensor", "sparse", "function", "training",
)  # fmt: skip
_CHILDREN: Final[Mapping[str, Mapping[int, str]]] = {
    "model": {7: _GRAPH, 20: _TRAINING, 25: _FUNCTION},
    _GRAPH: {1: _NODE, 5: _TENSOR, 15: _SPARSE},
    _NODE: {5: _ATTRIBUTE},
    _ATTRIBUTE: {5: _TENSOR, 6: _GRAPH, 10: _TENSOR, 11: _GRAPH, 22: _SPARSE, 23: _SPARSE},
    _SPARSE: {1: _TENSOR, 2: _TENSOR},
    _FUNCTION: {7: _NODE, 11: _ATTRIBUTE},
    _TRAINING: {1: _GRAPH, 2: _GRAPH},
}
"""Messages within messages by the numbers of their fields, from ``onnx.proto``."""

_OPERATOR, _DATA, _LOCATION = 4, 13, 14
"""``NodeProto.op_type``, ``TensorProto.external_data``, ``TensorProto.data_location``."""


def check_self_contained(path: Path) -> None:
    """Check that a model needs no other file.

    Args:
        path: of the ``.onnx`` file.

    Raises:
        ReleaseError: it refers to one, or is no ONNX file.
    """
    try:
        with path.open("rb") as file:
            if not path.stat().st_size:
                return  # the runtime says what is wrong with it
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as raw:
                found = _reference(raw, 0, len(raw), "model", 0) if _has_word(raw) else ""
    except OSError as error:
        raise ReleaseError(f"{path}: {error.strerror}") from error
    if found:
        raise ReleaseError(
            f"{path}: expected a model that needs no other file; it has {found}: store the weights "
            "in the file itself"
        )


def _has_word(raw: mmap.mmap) -> bool:
    """Return whether one of the words occurs in a file."""
    for start in range(0, len(raw), _PIECE):
        end = start + _PIECE + max(map(len, _WORDS))
        if any(raw.find(word, start, end) >= 0 for word in _WORDS):
            return True
        if hasattr(raw, "madvise"):  # else the whole file would be in memory in the end
            raw.madvise(mmap.MADV_DONTNEED, start, min(_PIECE, len(raw) - start))
    return False


def _reference(raw: mmap.mmap, start: int, end: int, kind: str, depth: int) -> str:
    """Return the first reference in the message ``raw[start:end]`` in words; empty if none."""
    if depth > _DEPTH:
        return f"graphs within graphs, more than {_DEPTH} deep"
    children = _CHILDREN.get(kind, {})
    for number, wire, first, last in fields(raw, start, end):
        if first < 0:
            return "bytes that are no ONNX"
        if kind == _TENSOR and (number == _DATA or (number == _LOCATION and first == 1)):
            return "external data"
        if kind == _NODE and number == _OPERATOR and raw[first:last] == b"EPContext":
            return "a compiled graph (EPContext)"
        if wire == 2 and number in children:
            found = _reference(raw, first, last, children[number], depth + 1)
            if found:
                return found
    return ""
