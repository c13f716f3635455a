"""The trees of a file in the newer TreeEnsemble operator: a fifth of the bytes, same answers.

Its leaves are a table that nodes share, and each leaf adds to one target. Where leaves add to
several, the operator tells which leaf every tree ends in, and a table of leaves is looked up.
Onnxruntime reads it from 1.21 on.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from converters.trees import classic
from converters.trees.ensemble import Ensemble, Ints
from converters.trees.unfolded import Unfolded, unfolded

NAME: Final = "TreeEnsemble"
VERSION: Final = 5
"""Of the domain; its other operators for trees are not allowed beside it."""

LARGEST_MEMBER: Final = 30
"""Larger members of sets are slow or fatal in onnxruntime before 1.23."""

EXACT_PLACES: Final = 1 << 24
"""Up to here float32 holds every integer."""

AVERAGE, SUM = 0, 1
AT_MOST, MEMBER = 0, 6
RETIRED: Final = ("TreeEnsembleClassifier", "TreeEnsembleRegressor")


def compact(proto: Any) -> Any | None:
    """A copy with newer operators; ``None`` if there are no trees, or some that it cannot say."""
    if not any(node.op_type in RETIRED for node in proto.graph.node):
        return None
    made = type(proto)()
    made.CopyFrom(proto)
    del made.graph.node[:]
    for node in proto.graph.node:
        nodes = _instead(made, node) if node.op_type in RETIRED else [node]
        if not nodes:
            return None
        made.graph.node.extend(nodes)
    for entry in made.opset_import:
        if entry.domain == classic.ML:
            entry.version = max(VERSION, entry.version)
    return made


def _instead(proto: Any, node: Any) -> list[Any]:
    """Nodes that give what ``node`` gives; none if there are none."""
    given = _given(node)
    found = classic.read(given) if node.op_type == classic.NAME else None
    if found is None or not _sayable(found):
        return []
    ensemble = found.rooted()
    average = given.get("aggregate_function") == "AVERAGE"
    if (np.count_nonzero(ensemble.leaves, axis=1) <= 1).all():
        leaves = np.abs(ensemble.leaves).argmax(axis=1), ensemble.leaves.sum(axis=1)
        return [_operator(node, ensemble, unfolded(ensemble), leaves, average=average)]
    return _looked_up(proto, node, ensemble, average=average)


def _given(node: Any) -> classic.Attributes:
    from onnx import AttributeProto, helper

    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    for attribute in node.attribute:
        if attribute.type == AttributeProto.STRING:
            given[attribute.name] = attribute.s.decode()
        if attribute.type == AttributeProto.STRINGS:
            given[attribute.name] = [text.decode() for text in attribute.strings]
    return given


def _sayable(ensemble: Ensemble) -> bool:
    members = [member for chosen in ensemble.members.values() for member in chosen]
    return all(0 <= member <= LARGEST_MEMBER for member in members)


def _looked_up(proto: Any, node: Any, ensemble: Ensemble, *, average: bool) -> list[Any]:
    """The place of the leaf that each tree ends in, [N, trees]; then the leaves at these places."""
    from onnx import helper, numpy_helper

    nodes, leaves = _leaves_of_their_own(unfolded(ensemble))
    trees, places = np.array(leaves).T
    if len(ensemble.leaves) > EXACT_PLACES:
        return []
    out = node.output[0]
    asked = [f"{out}_{what}" for what in ("places", "whole", "leaves", "table", "axis")]
    wide = replace(ensemble, leaves=np.zeros((0, len(ensemble.roots))))
    found = helper.make_node(NAME, [node.input[0]], [asked[0]])
    table = ensemble.leaves.astype(np.float32)
    proto.graph.initializer.append(numpy_helper.from_array(table, asked[3]))
    proto.graph.initializer.append(numpy_helper.from_array(np.array([1]), asked[4]))
    reduce = "ReduceMean" if average else "ReduceSum"
    return [
        _operator(found, wide, nodes, (trees, places), average=False),
        helper.make_node("Cast", asked[:1], asked[1:2], to=6),
        helper.make_node("Gather", [asked[3], asked[1]], asked[2:3], axis=0),
        helper.make_node(reduce, [asked[2], asked[4]], [out], keepdims=0),
    ]


def _leaves_of_their_own(nodes: Unfolded) -> tuple[Unfolded, list[tuple[int, int]]]:
    """Children that are leaves become places in a list of (tree, leaf)."""
    pairs: dict[tuple[int, int], int] = {}

    def own(children: Ints) -> Ints:
        both = zip(nodes.tree.tolist(), children.tolist(), strict=True)
        return np.array(
            [c if c >= 0 else ~pairs.setdefault((tree, ~c), len(pairs)) for tree, c in both]
        )

    return replace(nodes, left=own(nodes.left), right=own(nodes.right)), list(pairs)


def _told_apart(
    nodes: Unfolded, leaves: tuple[Ints, Any]
) -> tuple[Unfolded, Ints, NDArray[np.float32]]:
    """Leaves further down their table, so that no root has a node and a leaf of one number.

    Onnxruntime before 1.24 takes such a root for a tree of one leaf.
    """
    roots = nodes.roots
    pairs = list(zip(nodes.left[roots].tolist(), nodes.right[roots].tolist(), strict=True))
    taken = {max(pair) - ~min(pair) for pair in pairs if min(pair) < 0 <= max(pair)}
    shift = next(i for i in range(len(pairs) + 1) if i not in taken)
    left, right = (np.where(c < 0, c - shift, c) for c in (nodes.left, nodes.right))
    targets = np.append(np.zeros(shift, np.int64), leaves[0])
    weights = np.append(np.zeros(shift), leaves[1]).astype(np.float32)
    return replace(nodes, left=left, right=right), targets, weights


def _operator(
    node: Any, ensemble: Ensemble, nodes: Unfolded, leaves: tuple[Ints, Any], *, average: bool
) -> Any:
    """The operator between the ends of ``node``; ``leaves`` are targets and weights."""
    from onnx import helper, numpy_helper

    nodes, targets, weights = _told_apart(nodes, leaves)
    source = nodes.source
    members = [int(n) for n in source if int(n) in ensemble.members]
    modes = np.where(np.isin(source, members), MEMBER, AT_MOST).astype(np.uint8)
    attributes: classic.Attributes = {
        "aggregate_function": AVERAGE if average else SUM,
        "n_targets": ensemble.targets,
        "tree_roots": nodes.roots,
        "nodes_featureids": ensemble.feature[source],
        "nodes_truenodeids": np.where(nodes.left < 0, ~nodes.left, nodes.left),
        "nodes_falsenodeids": np.where(nodes.right < 0, ~nodes.right, nodes.right),
        "nodes_trueleafs": (nodes.left < 0).astype(np.int64),
        "nodes_falseleafs": (nodes.right < 0).astype(np.int64),
        "leaf_targetids": targets,
        "leaf_weights": numpy_helper.from_array(weights),
        "nodes_modes": numpy_helper.from_array(modes),
        "nodes_splits": numpy_helper.from_array(ensemble.threshold[source]),
    }
    if (missing := ensemble.missing_left[source]).any():
        attributes["nodes_missing_value_tracks_true"] = missing.astype(np.int64)
    if members:
        sets = [value for n in members for value in (*ensemble.members[n], np.nan)]
        attributes["membership_values"] = numpy_helper.from_array(np.array(sets, np.float32))
    return helper.make_node(NAME, node.input, node.output, domain=classic.ML, **attributes)
