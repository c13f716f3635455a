"""Trees of a file in the newer TreeEnsemble operator: a fifth of the bytes, same answers.

Its leaves are a table that nodes share, and each leaf adds to one target. Where leaves add to
several, the operator outputs the number of the leaf that every tree ends in, and plain operators
look it up in a table of leaves.
Onnxruntime reads it from 1.21 on.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from converters.trees import classic
from converters.trees.ensemble import Ensemble, Ints
from converters.trees.rounding import STEPS, round_leaves
from converters.trees.unfolded import Unfolded, unfold

NAME: Final = "TreeEnsemble"
VERSION: Final = 5
"""Version of the operators' domain, in which the older operators for trees are not allowed."""

LARGEST_MEMBER: Final = 30
"""Larger members of sets are slow or fatal in onnxruntime before 1.23."""

EXACT_PLACES: Final = 1 << 24
"""Up to here float32 holds every integer: places of leaves leave the operator as float32."""

AVERAGE, SUM = 0, 1
AT_MOST, MEMBER = 0, 6
RETIRED: Final = ("TreeEnsembleClassifier", "TreeEnsembleRegressor")


def compact(proto: Any) -> Any | None:
    """Return a copy with newer operators; ``None`` without trees, or if they cannot express one."""
    return _with_new_operators(proto, coarse=False)


def coarse(proto: Any) -> Any | None:
    """Return a copy with newer operators and leaves on a grid; ``None`` too if that saves little.

    Answers are off by about the grid's step, times the root of the number of trees.
    """
    return _with_new_operators(proto, coarse=True)


def _with_new_operators(proto: Any, *, coarse: bool) -> Any | None:
    if not any(node.op_type in RETIRED for node in proto.graph.node):
        return None
    copy = type(proto)()
    copy.CopyFrom(proto)
    del copy.graph.node[:]
    for node in proto.graph.node:
        nodes = _replacement(copy, node, coarse=coarse) if node.op_type in RETIRED else [node]
        if not nodes:
            return None
        copy.graph.node.extend(nodes)
    for entry in copy.opset_import:
        if entry.domain == classic.ML:
            entry.version = max(VERSION, entry.version)
    return copy


def _replacement(proto: Any, node: Any, *, coarse: bool) -> list[Any]:
    """Return nodes that replace ``node``; none if the operator cannot express it."""
    attributes = _attributes(node)
    original = classic.read(attributes) if node.op_type == classic.NAME else None
    if original is None or not _expressible(original):
        return []
    near, step = round_leaves(original) if coarse else (original, 0.0)
    ensemble = near.rooted()
    average = attributes.get("aggregate_function") == "AVERAGE"
    if (np.count_nonzero(ensemble.leaves, axis=1) <= 1).all():
        # Each leaf adds to one target at most: the operator does it all.
        if coarse and len(near.leaves) > len(original.leaves) / 2:
            return []
        leaves = np.abs(ensemble.leaves).argmax(axis=1), ensemble.leaves.sum(axis=1)
        return [_operator(node, ensemble, unfold(ensemble), leaves, average=average)]
    return _look_up_leaves(proto, node, ensemble, step, average=average)


def _attributes(node: Any) -> classic.Attributes:
    from onnx import AttributeProto, helper

    values = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    for attribute in node.attribute:
        if attribute.type == AttributeProto.STRING:
            values[attribute.name] = attribute.s.decode()
        if attribute.type == AttributeProto.STRINGS:
            values[attribute.name] = [text.decode() for text in attribute.strings]
    return values


def _expressible(ensemble: Ensemble) -> bool:
    members = [member for chosen in ensemble.members.values() for member in chosen]
    return all(0 <= member <= LARGEST_MEMBER for member in members)


def _look_up_leaves(
    proto: Any, node: Any, ensemble: Ensemble, step: float, *, average: bool
) -> list[Any]:
    """Return nodes that find the leaf that each tree ends in, [N, trees], and add the leaves up."""
    from onnx import helper

    nodes, leaves = _number_leaves_by_tree(unfold(ensemble))
    trees, places = np.array(leaves).T
    if len(ensemble.leaves) > EXACT_PLACES:
        return []
    out = node.output[0]
    names = [f"{out}_{what}" for what in ("places", "whole", "leaves")]
    # One target a tree, to which its leaf adds its own place: exact up to 2**24.
    wide = replace(ensemble, leaves=np.zeros((0, len(ensemble.roots))))
    finder = helper.make_node(NAME, [node.input[0]], [names[0]])
    axis = _constant(proto, f"{out}_axis", np.array([1]))
    table, before = _table(proto, f"{out}_table", ensemble, step)
    reduce = "ReduceMean" if average else "ReduceSum"
    return [
        _operator(finder, wide, nodes, (trees, places), average=False),
        *before,
        helper.make_node("Cast", names[:1], names[1:2], to=6),
        helper.make_node("Gather", [table, names[1]], names[2:3], axis=0),
        helper.make_node(reduce, [names[2], axis], [out], keepdims=0),
    ]


def _table(proto: Any, name: str, ensemble: Ensemble, step: float) -> tuple[str, list[Any]]:
    """Return the name of the table of leaves, and the nodes that compute it from bytes.

    Onnxruntime folds them when it loads the file.
    """
    from onnx import helper

    counts = np.rint(ensemble.leaves / step) if step else ensemble.leaves
    if not step or counts.min() < 0 or counts.max() > STEPS:
        return _constant(proto, name, ensemble.leaves.astype(np.float32)), []
    stored = _constant(proto, f"{name}_bytes", counts.astype(np.uint8))
    scale = _constant(proto, f"{name}_step", np.array(step, np.float32))
    cast = helper.make_node("Cast", [stored], [f"{name}_counts"], to=1)
    return name, [cast, helper.make_node("Mul", [f"{name}_counts", scale], [name])]


def _constant(proto: Any, name: str, values: NDArray[Any]) -> str:
    from onnx import numpy_helper

    proto.graph.initializer.append(numpy_helper.from_array(values, name))
    return name


def _number_leaves_by_tree(nodes: Unfolded) -> tuple[Unfolded, list[tuple[int, int]]]:
    """Number leaves by tree: children that are leaves become places in a list of (tree, leaf)."""
    pairs: dict[tuple[int, int], int] = {}

    def own(children: Ints) -> Ints:
        both = zip(nodes.tree.tolist(), children.tolist(), strict=True)
        return np.array(
            [c if c >= 0 else ~pairs.setdefault((tree, ~c), len(pairs)) for tree, c in both]
        )

    return replace(nodes, left=own(nodes.left), right=own(nodes.right)), list(pairs)


def _without_ambiguous_roots(
    nodes: Unfolded, leaves: tuple[Ints, Any]
) -> tuple[Unfolded, Ints, NDArray[np.float32]]:
    """Move leaves down their table, so that no root has a node and a leaf of one number.

    Onnxruntime before 1.24 takes such a root for a tree of one leaf. The unused rows on top of the
    table cost a few bytes.
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
    """Return the operator with the inputs and outputs of ``node``; ``leaves``: targets, weights."""
    from onnx import helper, numpy_helper

    nodes, targets, weights = _without_ambiguous_roots(nodes, leaves)
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
        # NaN ends each set; the nodes use them up in their own order.
        sets = [value for n in members for value in (*ensemble.members[n], np.nan)]
        attributes["membership_values"] = numpy_helper.from_array(np.array(sets, np.float32))
    return helper.make_node(NAME, node.input, node.output, domain=classic.ML, **attributes)
