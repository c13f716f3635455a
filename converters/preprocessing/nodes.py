"""Nodes of a graph that is put before another one, each under a name of its own."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from converters.errors import ConversionError

OPSETS: Final = (13, 25)
"""Operator sets of files that something can be put before: in them the operators used here have
the same inputs."""

PREFIX: Final = "pre_"


class Nodes:
    """Nodes and constants in the order in which they were added."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.domains: dict[str, int] = {}

    def add(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output, and return the output's name."""
        from onnx import helper

        name = f"{PREFIX}{len(self.nodes)}"
        node = helper.make_node(operator, list(inputs), [name], domain=domain, **attributes)
        self.nodes.append(node)
        if domain:
            self.domains[domain] = 1
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
        ConversionError: a network with several inputs, or of an operator set that is too old.
    """
    import onnx

    inputs = [
        v for v in proto.graph.input if v.name not in {t.name for t in proto.graph.initializer}
    ]
    if len(inputs) != 1:
        names = [value.name for value in inputs]
        raise ConversionError(f"preprocess: expected a network with one input, it has {names}")
    opsets = {entry.domain: entry.version for entry in proto.opset_import}
    if not OPSETS[0] <= opsets.get("", 0) <= OPSETS[1]:
        raise ConversionError(
            f"preprocess: expected a file of operator set {OPSETS[0]} to {OPSETS[1]}, got "
            f"{opsets.get('', 0)}; convert it with onnx.version_converter, or export it anew"
        )
    made = onnx.ModelProto()
    made.CopyFrom(proto)
    graph, taken = made.graph, inputs[0].name
    network = list(graph.node)
    bridge = onnx.helper.make_node("Identity", [result], [taken])
    del graph.node[:], graph.input[:]
    graph.node.extend([*nodes.nodes, bridge, *network])
    graph.input.append(given)
    graph.initializer.extend(nodes.constants)
    for domain, version in nodes.domains.items():
        if domain not in opsets:
            made.opset_import.add(domain=domain, version=version)
    del graph.value_info[:]
    return made
