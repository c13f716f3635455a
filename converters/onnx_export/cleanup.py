"""Graph clean-up that changes no answer: exporters leave such nodes and constants behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from converters.lowering.graph import rename
from converters.onnx_export.constants import collect_constants, inner_graphs
from converters.onnx_export.external_weights import digest


def tidy(proto: Any) -> None:
    """Drop identities, nodes and constants that nothing uses, and duplicates of constants.

    Every constant, wherever an exporter has put it, becomes an initializer of the main graph.
    """
    _drop_words(proto)
    collect_constants(proto)
    _drop_identities(proto.graph)
    _merge_constants(proto.graph)
    _drop_unused(proto.graph)


def _drop_words(proto: Any) -> None:
    """Drop what exporters write for people: comments, traces with paths of their machine."""
    del proto.metadata_props[:]
    for graph in (proto.graph, *inner_graphs(proto.graph)):
        graph.ClearField("doc_string")
        for part in (graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
            if hasattr(part, "metadata_props"):
                del part.metadata_props[:]
            part.ClearField("doc_string")


def _drop_identities(graph: Any) -> None:
    outputs = {value.name for value in graph.output}
    produced = {name for node in graph.node for name in node.output}
    replacement: dict[str, str] = {}

    def resolved(name: str) -> str:
        while name in replacement:
            name = replacement[name]
        return name

    remaining = []
    for node in graph.node:
        if node.op_type == "Identity" and node.domain == "":
            source, result = resolved(node.input[0]), node.output[0]
            if result not in outputs:
                replacement[result] = source
                continue
            if source in produced and source not in outputs:
                # Its result is an output, whose name must stay: the source takes that name.
                replacement[source] = result
                continue
        remaining.append(node)
    _set_nodes(graph, remaining)
    rename(graph, resolved)


def _merge_constants(graph: Any) -> None:
    """Replace equal constants by one of them."""
    outer = {value.name for value in (*graph.input, *graph.output)}
    first: dict[bytes, str] = {}  # by digest: the bytes would hold the whole model once more
    replacement: dict[str, str] = {}
    for tensor in graph.initializer:
        name = tensor.name
        same = first.setdefault(digest(tensor), name)
        if same != name and name not in outer:
            replacement[name] = same
    if replacement:
        _keep_constants(graph, lambda name: name not in replacement)
        rename(graph, lambda name: replacement.get(name, name))


def _drop_unused(graph: Any) -> None:
    """Drop nodes and constants that no output depends on."""
    needed = {value.name for value in graph.output}
    remaining = []
    # Nodes stand in topological order, so backwards every reader comes before what it reads.
    for node in reversed(graph.node):
        if any(name in needed for name in node.output):
            needed.update(_names_read(node))
            remaining.append(node)
    _set_nodes(graph, remaining[::-1])
    _keep_constants(graph, lambda name: name in needed)


def _keep_constants(graph: Any, wanted: Callable[[str], bool]) -> None:
    # One by one, from the end: what is put back is in memory a second time, for as long as the
    # message is.
    for i in reversed(range(len(graph.initializer))):
        if not wanted(graph.initializer[i].name):
            del graph.initializer[i]


def _names_read(node: Any) -> Iterator[str]:
    """Yield the names that a node reads, those of graphs inside it included."""
    yield from node.input
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield from (value.name for value in attribute.g.output)
            for inner in attribute.g.node:
                yield from _names_read(inner)


def _set_nodes(graph: Any, nodes: list[Any]) -> None:
    remaining = list(nodes)  # before the deletion: they may be the graph's own
    del graph.node[:]
    graph.node.extend(remaining)
