"""Constants of a model in one place: initializers of the main graph.

Exporters write constants in four ways: as initializers, as inputs with a default, as ``Constant``
nodes, and either of these inside of the bodies of ``If``, ``Loop`` and ``Scan``. What makes weights
smaller looks at one of them only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from converters.lowering.graph import rename

OLDEST_IR: Final = 4
"""Before it, every initializer had to be an input too, which the application could replace."""


def collect_constants(proto: Any) -> None:
    """Make every constant of ``proto`` an initializer of its main graph.

    Inputs with a default become constants as well: no application is asked for them.
    """
    _drop_defaults(proto)
    graph = proto.graph
    graph.initializer.extend(_taken_out(graph, keep_names=True))
    taken = set(_names(graph))
    for inner in inner_graphs(graph):
        graph.initializer.extend(_moved(inner, taken))


def inner_graphs(graph: Any) -> Iterator[Any]:
    """Yield the bodies of all nodes of a graph or function, outer ones first."""
    for node in graph.node:
        for attribute in node.attribute:
            for body in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield body
                yield from inner_graphs(body)


def all_nodes(graph: Any) -> Iterator[Any]:
    """Yield the nodes of a graph or function, and of all bodies inside."""
    yield from graph.node
    for inner in inner_graphs(graph):
        yield from inner.node


def _names(graph: Any) -> Iterator[str]:
    """Yield the names of all tensors of a graph and of all bodies inside."""
    for each in (graph, *inner_graphs(graph)):
        yield from (value.name for value in (*each.input, *each.initializer))
        for node in each.node:
            yield from node.output


def _drop_defaults(proto: Any) -> None:
    constants = {tensor.name for tensor in proto.graph.initializer}
    asked = [value for value in proto.graph.input if value.name not in constants]
    if len(asked) < len(proto.graph.input):
        proto.ir_version = max(proto.ir_version, OLDEST_IR)
        del proto.graph.input[:]
        proto.graph.input.extend(asked)


def _moved(inner: Any, taken: set[str]) -> list[Any]:
    """Take the constants out of a body, under names that nothing else has."""
    tensors = _taken_out(inner, keep_names=False)
    new: dict[str, str] = {}
    for tensor in tensors:
        name = tensor.name
        while name in taken:
            name += "_"
        new[tensor.name] = name
        taken.add(name)
    for tensor in tensors:
        tensor.name = new[tensor.name]
    rename(inner, lambda name: new.get(name, name))
    return tensors


def _taken_out(graph: Any, *, keep_names: bool) -> list[Any]:
    """Remove the constants of one graph, and return them as tensors under their names.

    A constant that is an output of its graph stays: a body must compute what it gives.
    """
    outputs = {value.name for value in graph.output}
    tensors, nodes = [], []
    for node in graph.node:
        tensor = None if outputs & set(node.output) else _tensor_of(node)
        if tensor is None:
            nodes.append(node)
        else:
            tensors.append(tensor)
    del graph.node[:]
    graph.node.extend(nodes)
    if not keep_names:
        tensors += [tensor for tensor in graph.initializer if tensor.name not in outputs]
        remaining = [tensor for tensor in graph.initializer if tensor.name in outputs]
        del graph.initializer[:]
        graph.initializer.extend(remaining)
    return tensors


def _tensor_of(node: Any) -> Any | None:
    """Return the tensor of a ``Constant`` node; ``None`` for other nodes, and for sparse ones."""
    from onnx import numpy_helper

    if node.op_type != "Constant" or node.domain not in ("", "ai.onnx"):
        return None
    (attribute,) = node.attribute
    if attribute.HasField("t"):
        tensor = attribute.t
        tensor.name = node.output[0]
        return tensor
    make = _PLAIN.get(attribute.name)
    return None if make is None else numpy_helper.from_array(make(attribute), node.output[0])


def _plain(kind: str, field: str) -> Any:
    import numpy as np

    return lambda attribute: np.array(getattr(attribute, field), kind)


_PLAIN: Final = {
    "value_float": _plain("float32", "f"),
    "value_floats": _plain("float32", "floats"),
    "value_int": _plain("int64", "i"),
    "value_ints": _plain("int64", "ints"),
}
"""Maker of the array of a ``Constant`` node, by the attribute that holds its values."""
