"""The same network with its weights where other exporters put them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final


def in_constant_nodes(source: Path, out: Path) -> Path:
    """Write the network with its weights in ``Constant`` nodes, as exporters of Paddle do."""
    import onnx

    proto = onnx.load(source)
    _to_nodes(proto.graph)
    onnx.save(proto, out)
    return out


def in_bodies_of_if(source: Path, out: Path) -> Path:
    """Write the network as the body of an ``If`` that is always taken; the other gives zeros."""
    import onnx
    from onnx import helper

    proto = onnx.load(source)
    _to_nodes(proto.graph)
    (output,) = proto.graph.output
    kind, rank = output.type.tensor_type.elem_type, len(output.type.tensor_type.shape.dim)
    (x,) = (value for value in proto.graph.input if value.name == "x")
    then = helper.make_graph(
        list(proto.graph.node), "then", [],
        [helper.make_tensor_value_info(output.name, kind, [None] * rank)],
    )  # fmt: skip
    value = helper.make_tensor("z", kind, [1] * rank, [0.0])
    zero = helper.make_node("Constant", [], ["zero_out"], value=value)
    shape = [None] * rank
    outputs = [helper.make_tensor_value_info("zero_out", kind, shape)]
    other = helper.make_graph([zero], "else", [], outputs)
    nodes = [
        helper.make_node("Constant", [], ["limit"], value_float=-1e30),
        helper.make_node("ReduceMax", ["x"], ["largest"], keepdims=0),
        helper.make_node("Greater", ["largest", "limit"], ["seen"]),
        helper.make_node("If", ["seen"], ["answers_of"], then_branch=then, else_branch=other),
    ]
    value = helper.make_tensor_value_info("answers_of", kind, [None] * rank)
    graph = helper.make_graph(nodes, "g", [x], [value])
    made = helper.make_model(graph, opset_imports=proto.opset_import, ir_version=proto.ir_version)
    onnx.save(made, out)
    return out


def _to_nodes(graph: Any) -> None:
    from onnx import helper

    nodes = [helper.make_node("Constant", [], [t.name], value=t) for t in graph.initializer]
    nodes += list(graph.node)
    del graph.initializer[:]
    del graph.node[:]
    graph.node.extend(nodes)


FORMS: Final[dict[str, Callable[[Path, Path], Path]]] = {
    "Constant nodes": in_constant_nodes,
    "bodies of If": in_bodies_of_if,
}
"""Writer of each form, by name."""
