"""Nodes of a graph that is put before another one, each under a name of its own."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from converters.errors import ConversionError
from converters.lowering.graph import rename

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

    @property
    def names(self) -> set[str]:
        """Names of all tensors."""
        made = {name for node in self.nodes for name in node.output}
        return made | {constant.name for constant in self.constants}

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
        ConversionError: a network with other inputs, of an operator set that is too old, or with
            an output whose name the steps use.
    """
    import onnx

    taken = {given.name, *nodes.names}
    made = onnx.ModelProto()
    made.CopyFrom(proto)
    results = _by_input(made, result)
    _check_opset(made, nodes.opset)
    _check_outputs(made, taken)
    graph = made.graph
    # The network's own tensors give way, since the app knows the new input by its name.
    rename(graph, lambda name: _other_name(name, taken))
    bridges = [
        onnx.helper.make_node("Identity", [made_by], [_other_name(name, taken)])
        for name, made_by in results.items()
    ]
    network = list(graph.node)
    del graph.node[:], graph.input[:]
    graph.node.extend([*nodes.nodes, *bridges, *network])
    graph.input.append(given)
    graph.initializer.extend(nodes.constants)
    _import_domains(made, nodes.domains)
    del graph.value_info[:]
    graph.value_info.extend(nodes.values)
    return made


def _other_name(name: str, taken: Collection[str]) -> str:
    return f"network_{name}" if name in taken else name


def _by_input(proto: Any, result: str | Mapping[str, str]) -> Mapping[str, str]:
    """Return what each input of the network takes."""
    constants = {tensor.name for tensor in proto.graph.initializer}
    inputs = [value.name for value in proto.graph.input if value.name not in constants]
    results = {inputs[0]: result} if isinstance(result, str) and len(inputs) == 1 else result
    if isinstance(results, str) or set(results) != set(inputs):
        wanted = "one input" if isinstance(results, str) else f"the inputs {list(results)}"
        raise ConversionError(f"preprocess: expected a network with {wanted}, it has {inputs}")
    return results


def _check_opset(proto: Any, least: int) -> None:
    version = {entry.domain: entry.version for entry in proto.opset_import}.get("", 0)
    if not least <= version <= OPSETS[1]:
        raise ConversionError(
            f"preprocess: expected a file of operator set {least} to {OPSETS[1]}, got {version}; "
            "convert it with onnx.version_converter, or export it anew"
        )


def _check_outputs(proto: Any, taken: Collection[str]) -> None:
    for value in proto.graph.output:
        if value.name in taken:
            raise ConversionError(
                f"preprocess: the network's output {value.name!r} has a name that the steps use; "
                "export it under another one"
            )


def _import_domains(proto: Any, domains: Mapping[str, int]) -> None:
    """Import the operator sets of the steps, as far as the network does not."""
    opsets = {entry.domain: entry.version for entry in proto.opset_import}
    for domain, version in domains.items():
        if domain not in opsets:
            proto.opset_import.add(domain=domain, version=version)
        elif opsets[domain] < version - 1:
            raise ConversionError(
                f"preprocess: expected a file with {domain} of version {version - 1} or above, got "
                f"{opsets[domain]}"
            )
