"""A small builder of ONNX graphs: tensors are their names, arrays become constants by themselves.

Invariant: the same calls in the same order give the same names, so the same model the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from converters.trees.floats import Rounding, at_most

OPSET: Final = 18
ML_OPSET: Final = 3
IR_VERSION: Final = 10
"""The newest that onnxruntime 1.20 loads; what today's onnx writes by itself is refused there."""

ML: Final = "ai.onnx.ml"
FLOAT: Final = 1
INT64: Final = 7
STRING: Final = 8
BOOL: Final = 9
DOUBLE: Final = 11
Operand = str | NDArray[Any] | np.generic | float | int


class Graph:
    """Nodes and constants in the order in which they were asked for.

    Attributes:
        faithful: numbers are computed in the original's own types and order.
        exact: sums of trees are added up in float64 too.
        rounding: of thresholds that are compared in float64, where rows are float32.
        narrow: float32 tensors by the float64 tensor that holds the same numbers.
        problems: steps that cannot be lowered, one sentence each; a graph with problems is no
            model.
        cache: results of an estimator on some inputs that are in the graph already, so that two
            methods of one estimator share their nodes.
    """

    def __init__(
        self, *, faithful: bool = False, exact: bool = False, rounding: Rounding = at_most
    ) -> None:
        self.faithful = faithful or exact
        self.exact = exact
        self.rounding = rounding
        self.narrow: dict[str, str] = {}
        self.problems: list[str] = []
        self.cache: dict[Any, Any] = {}
        self._nodes: list[Any] = []
        self._outputs: dict[tuple[bytes, int], list[str]] = {}
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._tensors: list[Any] = []
        self._opsets = {"": OPSET, ML: ML_OPSET, "com.microsoft": 1}
        self._count = 0

    def op(self, kind: str, *inputs: Operand, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output, and return its name; see :meth:`ops`."""
        return self.ops(kind, *inputs, domain=domain, **attributes)[0]

    def ops(
        self, kind: str, *inputs: Operand, outputs: int = 1, domain: str = "", **attributes: Any
    ) -> list[str]:
        """Add a node, unless the same node is there already.

        Args:
            kind: the operator.
            inputs: names of tensors; numbers and arrays become constants.
            outputs: number of its outputs.
            domain: of the operator.
            attributes: of the node; those that are ``None`` are left out.

        Returns:
            Names of its outputs.
        """
        from onnx import helper

        tensors = [x if isinstance(x, str) else self.constant(x) for x in inputs]
        present = {name: value for name, value in attributes.items() if value is not None}
        node = helper.make_node(kind, tensors, [], domain=domain, **present)
        # Without outputs yet, equal bytes are equal nodes: common subexpressions are written once.
        key = (node.SerializeToString(deterministic=True), outputs)
        if key not in self._outputs:
            self._outputs[key] = [self.fresh(kind.lower()) for _ in range(outputs)]
            node.output.extend(self._outputs[key])
            self._nodes.append(node)
        return list(self._outputs[key])  # a copy: callers replace names in theirs

    def fresh(self, word: str) -> str:
        """Return a name that no tensor has yet."""
        self._count += 1
        return f"{word}_{self._count}"

    def constant(self, value: Any) -> str:
        """Return the name of a constant; Python floats become float32, whole numbers int64."""
        from onnx import numpy_helper

        array = np.asarray(value)
        if not isinstance(value, np.ndarray | np.generic):
            array = array.astype(np.float32 if array.dtype.kind == "f" else np.int64)
        if array.dtype.kind in "OU":  # onnx takes texts as objects, not as NumPy's fixed width
            array = array.astype(object)
            raw = "\0".join(map(str, array.ravel())).encode()
        else:
            raw = np.ascontiguousarray(array).tobytes()
        key = (array.dtype.str, array.shape, raw)
        if key not in self._constants:
            self._constants[key] = self.fresh("c")
            self._tensors.append(numpy_helper.from_array(array, self._constants[key]))
        return self._constants[key]

    def cast(self, x: str, kind: int) -> str:
        """Return ``x`` as the ONNX element type ``kind``."""
        if kind == FLOAT and x in self.narrow:
            return self.narrow[x]
        return self.op("Cast", x, to=kind)

    def widen(self, x: str) -> str:
        """Return ``x``, float32, as float64; cast back, it is ``x`` again without a node."""
        wide = self.cast(x, DOUBLE)
        self.narrow[wide] = x
        return wide

    def inline(self, proto: Any, feeds: Mapping[str, str]) -> list[str]:
        """Put the nodes of another model here.

        Args:
            proto: a ModelProto.
            feeds: tensors of this graph by the name of the input that they feed.

        Returns:
            Names of its outputs.
        """
        if proto.functions:
            from onnx import inliner

            proto = inliner.inline_local_functions(proto)
        # Names of the other model may be ours too: all but its inputs get a prefix of their own.
        prefix = self.fresh("m")
        names = dict(feeds)

        def named(name: str) -> str:
            return names.setdefault(name, f"{prefix}_{name}") if name else name

        rename(proto.graph, named)
        self._tensors.extend(proto.graph.initializer)
        self._nodes.extend(proto.graph.node)
        for entry in proto.opset_import:
            self._opsets[entry.domain] = max(entry.version, self._opsets.get(entry.domain, 0))
        return [value.name for value in proto.graph.output]

    def model(
        self, inputs: Sequence[tuple[str, int, int]], outputs: Mapping[str, tuple[str, int, Any]]
    ) -> Any:
        """Return the ModelProto.

        Args:
            inputs: name, element type and width of each.
            outputs: by name: tensor, element type, shape after the batch axis.
        """
        from onnx import helper

        ends = self._ends({name: tensor for name, (tensor, _, _) in outputs.items()})
        graph = helper.make_graph(
            [*self._nodes, *ends],
            "model",
            [helper.make_tensor_value_info(n, t, [None, width]) for n, t, width in inputs],
            [
                helper.make_tensor_value_info(name, kind, [None, *shape])
                for name, (_, kind, shape) in outputs.items()
            ],
            self._tensors,
        )
        used = {node.domain for node in graph.node} | {""}
        opsets = [helper.make_opsetid(d, v) for d, v in self._opsets.items() if d in used]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)

    def _ends(self, outputs: Mapping[str, str]) -> list[Any]:
        """Give tensors the names of ``outputs``; nodes that do so where a name is not enough.

        Onnxruntime keeps an Identity before an output, and runs it.
        """
        from onnx import helper

        produced = {name for node in self._nodes for name in node.output}
        if any(attribute.HasField("g") for node in self._nodes for attribute in node.attribute):
            produced = set()  # graphs inside nodes may use the names too
        tensors = list(outputs.values())
        final = {t: n for n, t in outputs.items() if t in produced and tensors.count(t) == 1}
        for node in self._nodes:
            node.input[:] = [final.get(name, name) for name in node.input]
            node.output[:] = [final.get(name, name) for name in node.output]
        left = {name: tensor for name, tensor in outputs.items() if tensor not in final}
        return [helper.make_node("Identity", [x], [name]) for name, x in left.items()]


def rename(graph: Any, named: Callable[[str], str]) -> None:
    """Give every tensor of a graph, and of the graphs inside its nodes, a new name."""
    for tensor in (*graph.initializer, *graph.input, *graph.output):
        tensor.name = named(tensor.name)
    for node in graph.node:
        node.ClearField("name")
        node.input[:] = [named(name) for name in node.input]
        node.output[:] = [named(name) for name in node.output]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                rename(attribute.g, named)
