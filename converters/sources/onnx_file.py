"""An ``.onnx`` file that somebody exported: read, checked, and cleaned of what is not the model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from converters.errors import ConversionError
from converters.memory import give_back
from converters.onnx_export.cleanup import tidy
from converters.onnx_export.constants import all_nodes, inner_graphs
from converters.onnx_export.copies import without_weights
from converters.onnx_export.export import clean
from edge_sdk.contract.limits import MODEL_BYTES

_TRAINING: Final = ("ai.onnx.training", "ai.onnx.preview.training")
LARGE: Final = 32 << 20
"""Bytes of a file from which on memory matters."""

_BOOL: Final = 9
_EXTERNAL: Final = 1
"""``TensorProto.EXTERNAL``: the values are in a file beside the model."""


def load_file(path: Path) -> Any:
    """Return the ModelProto of a file, with the values that lie in files beside it.

    Raises:
        ConversionError: there is no such file, it is no valid model, files beside it are missing,
            it is larger than a release may be, or it is a graph for training.
    """
    if not path.is_file():
        raise ConversionError(f"{path}: there is no such file")
    _refuse_large(path, path.stat().st_size)
    import onnx

    try:
        proto = onnx.load(str(path), load_external_data=False)
        _refuse_large(path, path.stat().st_size + _external_bytes(proto, path.parent))
        if path.stat().st_size < LARGE:
            # By its path: the checker then looks for the files beside it, too.
            onnx.checker.check_model(str(path))
        else:
            # Without its weights: the checker would hold four copies of them for a while.
            onnx.checker.check_model(without_weights(proto).SerializeToString())
        onnx.load_external_data_for_model(proto, str(path.parent))
        give_back(path.stat().st_size)
    except ConversionError:
        raise
    except Exception as error:  # protobuf, onnx and the file system each have errors of their own
        raise ConversionError(f"{path}: expected a valid ONNX model; {error}") from error
    return prepared(proto, str(path))


def prepared(proto: Any, name: str) -> Any:
    """Clean a ModelProto in place, and return it.

    Args:
        proto: the model, with its values inside.
        name: for messages.

    Raises:
        ConversionError: it is a graph for training.
    """
    _refuse_training(proto, name)
    _open_dimensions(proto)
    clean(proto)
    tidy(proto)
    return proto


def _refuse_large(path: Path, size: int) -> None:
    if size > MODEL_BYTES:
        raise ConversionError(
            f"{path}: expected at most {MODEL_BYTES >> 20:,} MiB with the files beside it, as much "
            f"as a release holds; got {size >> 20:,} MiB"
        )


def _external_bytes(proto: Any, folder: Path) -> int:
    """Return the bytes of values beside the model.

    Raises:
        ConversionError: a file that the model names is not there.
    """
    files = set()
    for tensor in _tensors(proto):
        if tensor.data_location == _EXTERNAL:
            entries = {entry.key: entry.value for entry in tensor.external_data}
            files.add(entries.get("location", ""))
    for name in sorted(files):
        if not name or not (folder / name).is_file():
            raise ConversionError(
                f"{folder / name}: the model keeps its weights in this file, which is not there; "
                "put it beside the model, or export the model as one file"
            )
    return sum((folder / name).stat().st_size for name in files)


def _tensors(proto: Any) -> Iterator[Any]:
    """Yield the constants of the main graph and of every graph inside it."""
    for graph in (proto.graph, *inner_graphs(proto.graph)):
        yield from graph.initializer
        for attribute in (each for node in graph.node for each in node.attribute):
            yield from [*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors]


def nodes_of(proto: Any) -> Iterator[Any]:
    """Yield every node: of the main graph, of graphs inside it, and of the model's functions."""
    for each in (proto.graph, *proto.functions):
        yield from all_nodes(each)


def _refuse_training(proto: Any, name: str) -> None:
    true = _true_constants(proto)
    training = [node.op_type for node in nodes_of(proto) if _trains(node, true)]
    if proto.training_info or training:
        found = training[0] if training else "training information"
        raise ConversionError(
            f"{name}: expected a model for inference, found {found}, which is for training; export "
            "it for inference (in PyTorch after model.eval())"
        )


def _trains(node: Any, true: set[str]) -> bool:
    modes = {a.name: a.i for a in node.attribute if a.name == "training_mode"}
    batch = node.op_type == "BatchNormalization" and modes.get("training_mode", 0) == 1
    dropout = node.op_type == "Dropout" and len(node.input) > 2 and node.input[2] in true
    return node.domain in _TRAINING or batch or dropout


def _true_constants(proto: Any) -> set[str]:
    """Return the names of constants that are the boolean true."""
    from onnx import numpy_helper

    tensors = {tensor.name: tensor for tensor in proto.graph.initializer}
    for node in nodes_of(proto):
        if node.op_type == "Constant" and node.attribute and node.attribute[0].HasField("t"):
            tensors[node.output[0]] = node.attribute[0].t
    flags = {name: tensor for name, tensor in tensors.items() if tensor.data_type == _BOOL}
    return {name for name, tensor in flags.items() if numpy_helper.to_array(tensor).all()}


def _open_dimensions(proto: Any) -> None:
    """Make a size below 1 an open dimension: some exporters write -1 for it."""
    graph = proto.graph
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.HasField("tensor_type"):
            for dim in value.type.tensor_type.shape.dim:
                if dim.HasField("dim_value") and dim.dim_value < 1:
                    dim.ClearField("dim_value")
