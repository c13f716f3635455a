"""An ``.onnx`` file that somebody exported: read, checked, and cleaned of what is not the model."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from converters.errors import ConversionError
from converters.lowering.graph import FLOAT
from converters.memory import trim
from converters.onnx_export.cleanup import tidy
from converters.onnx_export.constants import all_nodes, inner_graphs
from converters.onnx_export.copies import without_weights
from converters.onnx_export.export import clean
from converters.onnx_export.external_weights import LARGE, is_external, load, place, values_of
from edge_sdk.contract.limits import MODEL_BYTES

_TRAINING: Final = ("ai.onnx.training", "ai.onnx.preview.training")
_BOOL: Final = 9


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
        proto = load(path)
        _refuse_large(path, path.stat().st_size + _external_bytes(proto, path))
        if path.stat().st_size < LARGE:
            # By its path: the checker then looks for the files beside it, too.
            onnx.checker.check_model(str(path))
        else:
            # Without its weights: the checker would hold four copies of them for a while.
            onnx.checker.check_model(without_weights(proto).SerializeToString())
        _bring_in(proto, path)
        _check_places(proto, path.stat().st_size)
        trim(path.stat().st_size)
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


def _beside(proto: Any, path: Path) -> Iterator[tuple[Any, str]]:
    """Yield the constants whose values are in files beside the model, with the names of these."""
    own = str(path.resolve())  # where ``load`` has left it
    for tensor in _tensors(proto):
        if is_external(tensor):
            entries = {entry.key: entry.value for entry in tensor.external_data}
            name = entries.get("location", "")
            if name != own:
                yield tensor, name


def _bring_in(proto: Any, path: Path) -> None:
    """Put values beside the model into it. onnx refuses files of other folders."""
    from onnx.external_data_helper import load_external_data_for_tensor

    for tensor, _ in _beside(proto, path):
        load_external_data_for_tensor(tensor, str(path.parent))


def _check_places(proto: Any, size: int) -> None:
    """Check the values that were left in the file, which onnx has not seen.

    Raises:
        ValueError: there are more or fewer of them than the shape says.
    """
    for tensor in _tensors(proto):
        if is_external(tensor):
            _, offset, length = place(tensor)
            numbers = 4 * math.prod(tensor.dims)
            if not 0 <= offset <= size - length or (
                tensor.data_type == FLOAT and length != numbers
            ):
                raise ValueError(f"{tensor.name}: {length} bytes do not fit its shape")


def _external_bytes(proto: Any, path: Path) -> int:
    """Return the bytes of values beside the model.

    Raises:
        ConversionError: a file that the model names is not there.
    """
    files, folder = {name for _, name in _beside(proto, path)}, path.parent
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
    tensors = {tensor.name: tensor for tensor in proto.graph.initializer}
    for node in nodes_of(proto):
        if node.op_type == "Constant" and node.attribute and node.attribute[0].HasField("t"):
            tensors[node.output[0]] = node.attribute[0].t
    flags = {name: tensor for name, tensor in tensors.items() if tensor.data_type == _BOOL}
    return {name for name, tensor in flags.items() if values_of(tensor).all()}


def _open_dimensions(proto: Any) -> None:
    """Make a size below 1 an open dimension: some exporters write -1 for it."""
    graph = proto.graph
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.HasField("tensor_type"):
            for dim in value.type.tensor_type.shape.dim:
                if dim.HasField("dim_value") and dim.dim_value < 1:
                    dim.ClearField("dim_value")
