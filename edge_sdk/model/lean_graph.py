"""Leaves out of an ONNX graph what computes an output that nobody reads.

onnxruntime runs every node of a graph, also those that no requested output depends on: the class of
the largest probability takes up to five of them, a quarter of the time of a small network. The
file stays as it is signed; the bytes that a session is made of lose nodes, nothing is rewritten.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from edge_sdk.model.protobuf_fields import fields, varint

LARGEST_BYTES: Final = 16 << 20
"""Larger models stay whole: there a microsecond is nothing, and a second copy of the bytes is."""

# Numbers of fields in ``onnx.proto``.
_GRAPH: Final = 7
_NODE, _NAME, _OUTPUT = 1, 1, 12
_INPUTS, _OUTPUTS, _OPERATOR, _ATTRIBUTE, _DOMAIN = 1, 2, 4, 5, 7
_SUBGRAPHS: Final = (6, 11)
_LISTS: Final = (7, 8, 9)
"""Numbers and texts of an attribute that is a list."""
_BYTES: Final = 2
"""Wire type of a message or a text: its length, then its bytes."""


class _Field(NamedTuple):
    """A field of a message: number, where its tag begins, its content, and where that ends."""

    number: int
    begin: int
    content: int
    end: int


class _Damaged(Exception):
    """The bytes are no ONNX, or of a kind that stays whole."""


def without_output(model: bytes, output: str) -> bytes:
    """Return ``model`` without ``output`` and the nodes that only it depends on.

    The same bytes come back if that saves no node, if a node has graphs of its own (which read
    values of the outer one), and for what is no ONNX: the runtime says what is wrong with it.

    Args:
        model: an ONNX file.
        output: name of an output of its graph.
    """
    if len(model) > LARGEST_BYTES:
        return model
    try:
        graphs = [f for f in _fields(model, 0, len(model)) if f.number == _GRAPH]
        if len(graphs) != 1:
            return model
        (graph,) = graphs
        parts = list(_fields(model, graph.content, graph.end))
        dropped = _dropped(model, parts, output)
    except _Damaged:
        return model
    if not any(part.number == _NODE for part in dropped):
        return model
    gone, whole = set(dropped), memoryview(model)
    kept = [whole[part.begin : part.end] for part in parts if part not in gone]
    head = bytes((_GRAPH << 3 | _BYTES,)) + varint(sum(map(len, kept)))
    return b"".join((whole[: graph.begin], head, *kept, whole[graph.end :]))


def only_node(model: bytes, operator: str) -> bytes | None:
    """Return the ``NodeProto`` of a graph that is one node of ``operator``, else ``None``.

    Args:
        model: an ONNX file.
        operator: of ``ai.onnx.ml``.
    """
    try:
        graphs = [f for f in _fields(model, 0, len(model)) if f.number == _GRAPH]
        if len(graphs) != 1:
            return None
        (graph,) = graphs
        parts = _fields(model, graph.content, graph.end)
        nodes = [part for part in parts if part.number == _NODE]
        if len(nodes) != 1:
            return None
        (node,) = nodes
        named = _text(model, node, _OPERATOR), _text(model, node, _DOMAIN)
    except _Damaged:
        return None
    return model[node.content : node.end] if named == (operator, "ai.onnx.ml") else None


def _dropped(model: bytes, parts: list[_Field], output: str) -> list[_Field]:
    """Return the fields of a graph that only ``output`` needs, itself included."""
    outputs = {_text(model, part, _NAME): part for part in parts if part.number == _OUTPUT}
    if output not in outputs or len(outputs) < 2:
        return []
    dropped = [outputs.pop(output)]
    needed = set(outputs)
    # Nodes are in topological order: from the last on, all users of a value come before its maker.
    for node in reversed([part for part in parts if part.number == _NODE]):
        inputs, made = _names(model, node)
        if needed.isdisjoint(made):
            dropped.append(node)
        else:
            needed.update(inputs)
    return dropped


def _names(model: bytes, node: _Field) -> tuple[list[str], list[str]]:
    """Return the inputs and outputs of a node."""
    inputs, outputs = [], []
    for field in _fields(model, node.content, node.end):
        if field.number == _INPUTS:
            inputs.append(_decoded(model, field))
        elif field.number == _OUTPUTS:
            outputs.append(_decoded(model, field))
        elif field.number == _ATTRIBUTE and _has_graph(model, field):
            raise _Damaged
    return inputs, outputs


def _has_graph(model: bytes, attribute: _Field) -> bool:
    # An attribute is of one kind. The walk ends at the first item of a list: the nodes of a forest
    # are a hundred thousand of them, each a step.
    for field in _fields(model, attribute.content, attribute.end):
        if field.number in _SUBGRAPHS:
            return True
        if field.number in _LISTS:
            return False
    return False


def _text(model: bytes, message: _Field, number: int) -> str:
    """Return a text in a message; empty if it has none."""
    found = (f for f in _fields(model, message.content, message.end) if f.number == number)
    field = next(found, None)
    return "" if field is None else _decoded(model, field)


def _decoded(model: bytes, field: _Field) -> str:
    return model[field.content : field.end].decode("utf-8", "surrogateescape")


def _fields(model: bytes, start: int, end: int) -> Iterator[_Field]:
    begin = start
    for number, wire, content, after in fields(model, start, end):
        if content < 0:
            raise _Damaged
        yield _Field(number, begin, content if wire == _BYTES else begin, after)
        begin = after
