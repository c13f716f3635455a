"""Graph clean-up that changes no answer: whoever exported a file leaves some of this behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from converters.lowering.graph import rename


def tidy(proto: Any) -> None:
    """Drop nodes that only hand on, nodes and constants that nothing uses, and double constants."""
    _without_identities(proto.graph)
    _without_doubles(proto.graph)
    _without_unused(proto.graph)


def _without_identities(graph: Any) -> None:
    outputs = {value.name for value in graph.output}
    produced = {name for node in graph.node for name in node.output}
    other: dict[str, str] = {}

    def resolved(name: str) -> str:
        while name in other:
            name = other[name]
        return name

    kept = []
    for node in graph.node:
        if node.op_type == "Identity" and node.domain == "":
            source, result = resolved(node.input[0]), node.output[0]
            if result not in outputs:
                other[result] = source
                continue
            if source in produced and source not in outputs:
                other[source] = result
                continue
        kept.append(node)
    _keep(graph, kept)
    rename(graph, resolved)


def _without_doubles(graph: Any) -> None:
    """One constant where there were equal ones."""
    outer = {value.name for value in (*graph.input, *graph.output)}
    first: dict[bytes, str] = {}
    other: dict[str, str] = {}
    for tensor in graph.initializer:
        name, tensor.name = tensor.name, ""
        same = first.setdefault(tensor.SerializeToString(deterministic=True), name)
        tensor.name = name
        if same != name and name not in outer:
            other[name] = same
    if other:
        kept = [tensor for tensor in graph.initializer if tensor.name not in other]
        del graph.initializer[:]
        graph.initializer.extend(kept)
        rename(graph, lambda name: other.get(name, name))


def _without_unused(graph: Any) -> None:
    """What no output depends on; constants are kept where they are also inputs."""
    needed = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if any(name in needed for name in node.output):
            needed.update(_used(node))
            kept.append(node)
    _keep(graph, kept[::-1])
    constants = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(constants)


def _used(node: Any) -> Iterator[str]:
    """Names that a node reads, those of graphs inside it included."""
    yield from node.input
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield from (value.name for value in attribute.g.output)
            for inner in attribute.g.node:
                yield from _used(inner)


def _keep(graph: Any, nodes: list[Any]) -> None:
    kept = list(nodes)
    del graph.node[:]
    graph.node.extend(kept)
