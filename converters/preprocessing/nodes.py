"""Nodes of a graph that is put before another one, each under a name of its own."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from converters.errors import ConversionError
from converters.lowering.graph import rename

OPSETS: Final = (13, 25)
"""Operator sets of files that something can be put before: in them the operators used here have
the same inputs."""

PREFIX: Final = "pre_"


class Nodes:
    """Nodes and constants in the order in which they were added."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    @property
    def names(self) -> set[str]:
        """Names of all tensors."""
        made = {name for node in self.nodes for name in node.output}
        return made | {constant.name for constant in self.constants}

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output, and return the output's name."""
        from onnx import helper

        name = f"{PREFIX}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def constant(self, value: Any, dtype: str) -> str:
        """Add a constant, and return its name."""
        from onnx import numpy_helper

        array: NDArray[Any] = np.asarray(value, dtype=dtype)
        name = f"{PREFIX}c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def floats(self, *values: float) -> str:
        """Add a constant of float32; of several values a vector."""
        return self.constant(values[0] if len(values) == 1 else values, "float32")

    def ints(self, *values: int) -> str:
        """Add a vector of int64."""
        return self.constant(list(values), "int64")


def put_before(proto: Any, nodes: Nodes, result: str, given: Any) -> Any:
    """Return a model that computes ``nodes`` and then the network.

    Args:
        proto: the network, with one input.
        nodes: what comes before it.
        result: name of what the network takes.
        given: the new input, as a ValueInfoProto.

    Raises:
        ConversionError: a network with several inputs, of an operator set that is too old, or with
            an output whose name the steps use.
    """
    import onnx

    taken = {given.name, *nodes.names}
    made = onnx.ModelProto()
    made.CopyFrom(proto)
    input_name = _only_input(made)
    _check_fits(made, taken)
    graph = made.graph
    # The network's own tensors give way, since the app knows the new input by its name.
    rename(graph, lambda name: _other_name(name, taken))
    bridge = onnx.helper.make_node("Identity", [result], [_other_name(input_name, taken)])
    network = list(graph.node)
    del graph.node[:], graph.input[:]
    graph.node.extend([*nodes.nodes, bridge, *network])
    graph.input.append(given)
    graph.initializer.extend(nodes.constants)
    del graph.value_info[:]
    return made


def _other_name(name: str, taken: Collection[str]) -> str:
    return f"network_{name}" if name in taken else name


def _only_input(proto: Any) -> str:
    constants = {tensor.name for tensor in proto.graph.initializer}
    names: list[str] = [v.name for v in proto.graph.input if v.name not in constants]
    if len(names) != 1:
        raise ConversionError(f"preprocess: expected a network with one input, it has {names}")
    return names[0]


def _check_fits(proto: Any, taken: Collection[str]) -> None:
    opsets = {entry.domain: entry.version for entry in proto.opset_import}
    if not OPSETS[0] <= opsets.get("", 0) <= OPSETS[1]:
        raise ConversionError(
            f"preprocess: expected a file of operator set {OPSETS[0]} to {OPSETS[1]}, got "
            f"{opsets.get('', 0)}; convert it with onnx.version_converter, or export it anew"
        )
    for value in proto.graph.output:
        if value.name in taken:
            raise ConversionError(
                f"preprocess: the network's output {value.name!r} has a name that the steps use; "
                "export it under another one"
            )
