"""A small builder of ONNX graphs: tensors are their names, arrays become constants by themselves.

Invariant: the same calls in the same order give the same names, so the same model the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

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
        faithful: numbers on their way to a threshold are the original's bit by bit.
        problems: what has no form, one sentence a step; a graph with problems is no model.
        borrowed: what skl2onnx wrote already, by estimator and inputs.
    """

    def __init__(self, *, faithful: bool = False) -> None:
        self.faithful = faithful
        self.problems: list[str] = []
        self.cache: dict[Any, Any] = {}
        self._nodes: list[Any] = []
        self._made: dict[tuple[bytes, int], list[str]] = {}
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._tensors: list[Any] = []
        self._opsets = {"": OPSET, ML: ML_OPSET, "com.microsoft": 1}
        self._count = 0

    def op(self, kind: str, *inputs: Operand, domain: str = "", **attributes: Any) -> str:
        """A node with one output; numbers and arrays among its inputs become constants."""
        return self.ops(kind, *inputs, domain=domain, **attributes)[0]

    def ops(
        self, kind: str, *inputs: Operand, outputs: int = 1, domain: str = "", **attributes: Any
    ) -> list[str]:
        """A node with several outputs; what was asked for before is not computed twice."""
        from onnx import helper

        given = [x if isinstance(x, str) else self.constant(x) for x in inputs]
        kept = {name: value for name, value in attributes.items() if value is not None}
        node = helper.make_node(kind, given, [], domain=domain, **kept)
        key = (node.SerializeToString(deterministic=True), outputs)
        if key not in self._made:
            self._made[key] = [self.fresh(kind.lower()) for _ in range(outputs)]
            node.output.extend(self._made[key])
            self._nodes.append(node)
        return self._made[key]

    def fresh(self, word: str) -> str:
        """A name that nothing has yet."""
        self._count += 1
        return f"{word}_{self._count}"

    def constant(self, value: Any) -> str:
        """The name of a constant; Python floats become float32, whole numbers int64."""
        from onnx import numpy_helper

        array = np.asarray(value)
        if not isinstance(value, np.ndarray | np.generic):
            array = array.astype(np.float32 if array.dtype.kind == "f" else np.int64)
        if array.dtype.kind in "OU":
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
        """``x`` as the ONNX element type ``kind``."""
        return self.op("Cast", x, to=kind)

    def inline(self, proto: Any, feeds: Mapping[str, str]) -> list[str]:
        """Put another model's nodes here, its inputs fed by ``feeds``; its outputs' names."""
        if proto.functions:
            from onnx import inliner

            proto = inliner.inline_local_functions(proto)
        prefix = self.fresh("m")
        known = dict(feeds)

        def named(name: str) -> str:
            return known.setdefault(name, f"{prefix}_{name}") if name else name

        rename(proto.graph, named)
        self._tensors.extend(proto.graph.initializer)
        self._nodes.extend(proto.graph.node)
        for entry in proto.opset_import:
            self._opsets[entry.domain] = max(entry.version, self._opsets.get(entry.domain, 0))
        return [value.name for value in proto.graph.output]

    def model(
        self, inputs: Sequence[tuple[str, int, int]], outputs: Mapping[str, tuple[str, int, Any]]
    ) -> Any:
        """The ModelProto.

        Args:
            inputs: name, element type and width of each.
            outputs: by name: which tensor, its element type, its shape after the batch axis.
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

        made = {name for node in self._nodes for name in node.output}
        if any(attribute.HasField("g") for node in self._nodes for attribute in node.attribute):
            made = set()  # graphs inside nodes may know the names too
        tensors = list(outputs.values())
        given = {t: n for n, t in outputs.items() if t in made and tensors.count(t) == 1}
        for node in self._nodes:
            node.input[:] = [given.get(name, name) for name in node.input]
            node.output[:] = [given.get(name, name) for name in node.output]
        left = {name: tensor for name, tensor in outputs.items() if tensor not in given}
        return [helper.make_node("Identity", [x], [name]) for name, x in left.items()]


def rename(graph: Any, named: Callable[[str], str]) -> None:
    """Give every tensor of a graph, and of the graphs inside its nodes, another name."""
    for tensor in (*graph.initializer, *graph.input, *graph.output):
        tensor.name = named(tensor.name)
    for node in graph.node:
        node.ClearField("name")
        node.input[:] = [named(name) for name in node.input]
        node.output[:] = [named(name) for name in node.output]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                rename(attribute.g, named)
