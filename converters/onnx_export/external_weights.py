"""Large models whose weights stay in their file: the message in memory only says where they lie.

An *external* tensor has the absolute path of a file, an offset and a length in the place of
its values; that is the form which ONNX has for external data. So a model of 100 MB is kilobytes in
memory, each weight is mapped while it is worked on, and files are written from files.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from converters.lowering.graph import FLOAT
from converters.onnx_export.copies import copy_of
from converters.onnx_export.protobuf_bytes import BYTES, GRAPH, INITIALIZER, RAW_DATA, field
from edge_sdk.model.protobuf_fields import fields

EXTERNAL: Final = 1
"""``TensorProto.EXTERNAL``."""

LARGE: Final = 8 << 20
"""Bytes of a model from which on memory matters."""

SMALLEST: Final = 64 << 10
"""Bytes of values from which on they are left in their file."""

WEIGHTS: Final = "weights"
"""Name of the file beside a model that :func:`write_apart` writes."""

PIECE: Final = 1 << 20
PAGE: Final = 4096


def load(path: Path) -> Any:
    """Return the ModelProto of a file; of a large one its large initializers are left there.

    Raises:
        Exception: whatever protobuf raises of what is no model.
    """
    from onnx import ModelProto

    if path.stat().st_size < LARGE:
        return ModelProto.FromString(path.read_bytes())
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as raw:
        kept = _with_references(raw, 0, len(raw), (GRAPH, INITIALIZER), str(path.resolve()))
    return ModelProto.FromString(kept)


def _with_references(
    raw: mmap.mmap, start: int, end: int, way: tuple[int, ...], path: str
) -> bytes:
    """Return a message with references for large values.

    Args:
        raw: the file.
        start: of the message.
        end: of the message.
        way: fields that lead from this message to the tensors; none is left in a tensor.
        path: of the file.
    """
    parts, at = [], start
    for number, wire, first, last in fields(raw, start, end):
        if first < 0:
            raise ValueError("bytes that are no ONNX")
        if way and (number, wire) == (way[0], BYTES):
            parts.append(field(number, BYTES, _with_references(raw, first, last, way[1:], path)))
        elif not way and number == RAW_DATA and last - first >= SMALLEST:
            parts.append(_reference(path, first, last - first).SerializeToString())
        else:
            parts.append(raw[at:last])
        at = last
    return b"".join(parts)


def _reference(path: str, offset: int, length: int) -> Any:
    """Return a TensorProto with nothing but the place of its values."""
    from onnx import TensorProto

    tensor = TensorProto(data_location="EXTERNAL")
    for key, value in (("location", path), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def is_external(tensor: Any) -> bool:
    """Return whether the values of a TensorProto are not in the message."""
    return bool(tensor.data_location == EXTERNAL)


def place(tensor: Any) -> tuple[str, int, int]:
    """Return path, offset and length of the values of an external tensor."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    path, offset = entries["location"], int(entries.get("offset", 0))
    length = entries.get("length")
    return path, offset, Path(path).stat().st_size - offset if length is None else int(length)


def values_bytes(tensor: Any) -> int:
    """Return the length of the raw values of a tensor, wherever they are."""
    return place(tensor)[2] if is_external(tensor) else len(tensor.raw_data)


def raw_values(tensor: Any) -> Iterator[bytes]:
    """Yield the raw values of a tensor piece by piece, wherever they are."""
    if not is_external(tensor):
        yield tensor.raw_data
        return
    path, offset, left = place(tensor)
    with Path(path).open("rb") as file:
        file.seek(offset)
        while left and (piece := file.read(min(PIECE, left))):
            left -= len(piece)
            yield piece


def values_of(tensor: Any) -> NDArray[Any]:
    """Return the values of a tensor; those of an external weight are mapped, not read."""
    from onnx import numpy_helper

    if is_external(tensor) and tensor.data_type == FLOAT:
        path, offset, _ = place(tensor)
        return np.memmap(path, np.float32, "r", offset, tuple(tensor.dims))
    return numpy_helper.to_array(with_values(tensor))


def with_values(tensor: Any) -> Any:
    """Return the tensor with its values in it; itself, if they are."""
    if not is_external(tensor):
        return tensor
    made = without_values(tensor)
    made.raw_data = b"".join(raw_values(tensor))
    return made


def without_values(tensor: Any) -> Any:
    """Return a copy of a tensor that has no values, neither in it nor in a file."""
    made = type(tensor)()
    made.dims.extend(tensor.dims)
    made.data_type, made.name = tensor.data_type, tensor.name
    return made


def digest(tensor: Any) -> bytes:
    """Return a digest of type, shape and values of a tensor."""
    found = hashlib.sha256(f"{tensor.data_type} {list(tensor.dims)}".encode())
    for piece in raw_values(tensor):
        found.update(piece)
    if not values_bytes(tensor):  # numbers or texts in lists of their own
        copy = type(tensor)()
        copy.CopyFrom(tensor)
        copy.name = ""
        found.update(copy.SerializeToString(deterministic=True))
    return found.digest()


@contextlib.contextmanager
def loadable(proto: Any) -> Iterator[bytes | str]:
    """Give a model as the runtime loads it in least memory: its bytes, or the path of a large one.

    Once it is loaded, the file is needed no more.

    Args:
        proto: ModelProto, or its bytes, which stay as they are.
    """
    if isinstance(proto, bytes):
        yield proto
        return
    if size_of(proto) < LARGE:
        yield proto.SerializeToString()
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        yield str(write_apart(proto, Path(folder)))


def with_all_values(proto: Any) -> Any:
    """Return the model with all values in it; itself, if they are."""
    if not any(is_external(tensor) for tensor in proto.graph.initializer):
        return proto
    made = copy_of(proto, without={tensor.name for tensor in proto.graph.initializer})
    for tensor in proto.graph.initializer:
        made.graph.initializer.append(with_values(tensor))
    return made


def size_of(proto: Any) -> int:
    """Return the bytes of the nodes and initializers of a ModelProto, wherever their values are."""
    # Part by part: protobuf writes a whole message into memory in order to say how long it is.
    graph = proto.graph
    nodes = sum(node.ByteSize() for node in graph.node)
    return int(nodes + sum(values_bytes(each) or each.ByteSize() for each in graph.initializer))


def write_apart(proto: Any, folder: Path) -> Path:
    """Write a model as two files, of which the runtime maps the weights and does not read them.

    A small one has all its values in it, and the other file is empty.

    Args:
        proto: ModelProto, whose large values are external or not.
        folder: for the files.

    Returns:
        The path of the model.
    """
    light = copy_of(proto, without={tensor.name for tensor in proto.graph.initializer})
    smallest = SMALLEST if size_of(proto) >= LARGE else LARGE
    with (folder / WEIGHTS).open("wb") as file:
        for tensor in proto.graph.initializer:
            light.graph.initializer.append(_put(tensor, file, smallest))
    path = folder / "model.onnx"
    path.write_bytes(light.SerializeToString())
    return path


def load_apart(path: Path) -> Any:
    """Return the model that :func:`write_apart` wrote, its weights external."""
    from onnx import ModelProto

    proto = ModelProto.FromString(path.read_bytes())
    for tensor in proto.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = str(path.parent / entry.value)
    return proto


def _put(tensor: Any, file: IO[bytes], smallest: int) -> Any:
    """Append the values of a large tensor to a file; return the tensor with their place."""
    length = values_bytes(tensor)
    if length < smallest:
        return tensor
    file.seek(-(-file.tell() // PAGE) * PAGE)  # pages are what can be mapped
    made = without_values(tensor)
    made.MergeFrom(_reference(WEIGHTS, file.tell(), length))
    for piece in raw_values(tensor):
        file.write(piece)
    return made
