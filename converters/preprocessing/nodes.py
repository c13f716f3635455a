"""Nodes of a graph that is put before another one, each under a name of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from converters.errors import ConversionError

OPSETS: Final = (13, 25)
"""Operator sets of files that something can be put before: in them the operators used here have
the same inputs."""

PREFIX: Final = "pre_"

_VERSIONS: Final = {"ai.onnx.ml": 3}
"""Versions of other operator sets; 1 where none is named."""


class Nodes:
    """Nodes and constants in the order in which they were added.

    Args:
        opset: least operator set of a file that they can be put before.
    """

    def __init__(self, opset: int = OPSETS[0]) -> None:
        self.opset = opset
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.values: list[Any] = []
        self.domains: dict[str, int] = {}

    def add(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output, and return the output's name."""
        from onnx import helper

        name = f"{PREFIX}{len(self.nodes)}"
        node = helper.make_node(operator, list(inputs), [name], domain=domain, **attributes)
        self.nodes.append(node)
        if domain:
            self.domains[domain] = _VERSIONS.get(domain, 1)
        return name

    def cut(self, texts: str, expression: str, filler: str, axes: int) -> str:
        """Add onnxruntime's Tokenizer, and return what of each text the expression fits.

        Args:
            texts: what is cut.
            expression: of RE2.
            filler: what fills shorter rows up.
            axes: number of axes of the result: one more than those of ``texts``.
        """
        from onnx import TensorProto, helper

        attributes = {"mark": 0, "mincharnum": 1, "pad_value": filler, "tokenexp": expression}
        name = self.add("Tokenizer", texts, domain="com.microsoft", **attributes)
        # onnx does not know the operator, and would infer no shape behind it.
        shape = [f"{name}_{axis}" for axis in range(axes)]
        self.values.append(helper.make_tensor_value_info(name, TensorProto.STRING, shape))
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

    def texts(self, *values: str) -> str:
        """Add a vector of texts."""
        from onnx import numpy_helper

        name = f"{PREFIX}c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(values, object), name))
        return name


def put_before(proto: Any, nodes: Nodes, result: str | Mapping[str, str], given: Any) -> Any:
    """Return a model that computes ``nodes`` and then the network.

    Args:
        proto: the network.
        nodes: what comes before it.
        result: name of what the network takes; of a network with several inputs by their names.
        given: the new input, as a ValueInfoProto.

    Raises:
        ConversionError: a network with other inputs, or of an operator set that is too old.
    """
    import onnx

    constants = {tensor.name for tensor in proto.graph.initializer}
    inputs = [value.name for value in proto.graph.input if value.name not in constants]
    results = {inputs[0]: result} if isinstance(result, str) and len(inputs) == 1 else result
    if isinstance(results, str) or set(results) != set(inputs):
        wanted = "one input" if isinstance(results, str) else f"the inputs {list(results)}"
        raise ConversionError(f"preprocess: expected a network with {wanted}, it has {inputs}")
    opsets = {entry.domain: entry.version for entry in proto.opset_import}
    if not nodes.opset <= opsets.get("", 0) <= OPSETS[1]:
        raise ConversionError(
            f"preprocess: expected a file of operator set {nodes.opset} to {OPSETS[1]}, got "
            f"{opsets.get('', 0)}; convert it with onnx.version_converter, or export it anew"
        )
    made = onnx.ModelProto()
    made.CopyFrom(proto)
    graph = made.graph
    network = list(graph.node)
    bridges = [onnx.helper.make_node("Identity", [x], [taken]) for taken, x in results.items()]
    del graph.node[:], graph.input[:]
    graph.node.extend([*nodes.nodes, *bridges, *network])
    graph.input.append(given)
    graph.initializer.extend(nodes.constants)
    for domain, version in nodes.domains.items():
        if domain not in opsets:
            made.opset_import.add(domain=domain, version=version)
        elif opsets[domain] < version - 1:
            raise ConversionError(
                f"preprocess: expected a file with {domain} of version {version - 1} or above, got "
                f"{opsets[domain]}"
            )
    del graph.value_info[:]
    graph.value_info.extend(nodes.values)
    return made
