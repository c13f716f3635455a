"""An ensemble as a TreeEnsembleRegressor node, which every onnxruntime since 1.11 reads; and back.

Raw sums only. Links and labels stay outside: the classifier operator labels two classes wrongly in
onnxruntime 1.26 and 1.27, and its built-in links are less exact. Zero weights, and attributes at
their defaults, are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from converters.errors import UnsupportedModel
from converters.trees.builder import EnsembleBuilder, Members
from converters.trees.ensemble import Ensemble

ML: Final = "ai.onnx.ml"
NAME: Final = "TreeEnsembleRegressor"
VERSION: Final = 3
"""Version of the operators' domain."""

AT_MOST, EQUAL, LEAF = "BRANCH_LEQ", "BRANCH_EQ", "LEAF"
NODES: Final = ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids",
                "falsenodeids", "missing_value_tracks_true")  # fmt: skip
WEIGHTS: Final = ("treeids", "nodeids", "ids", "weights")
TRUE, FALSE = NODES.index("truenodeids"), NODES.index("falsenodeids")

Attributes = dict[str, Any]


def attributes(ensemble: Ensemble, *, average: bool = False) -> Attributes:
    """Return the operator's attributes; its output is [N, targets] in float32.

    Args:
        ensemble: the trees.
        average: divide the sums by the number of trees.

    Raises:
        UnsupportedModel: a tree with sets of categories adds to several targets.
    """
    rows = _NodeTable(ensemble.rooted())
    for tree, root in enumerate(rows.ensemble.roots.tolist()):
        rows.add(tree, root)
    lists: Attributes = {"n_targets": ensemble.targets}
    wide = ensemble.threshold.dtype == np.float64
    if average:
        lists["aggregate_function"] = "AVERAGE"
    lists |= {
        f"nodes_{n}": list(c) for n, c in zip(NODES, zip(*rows.nodes, strict=True), strict=True)
    }
    if not any(lists["nodes_missing_value_tracks_true"]):
        del lists["nodes_missing_value_tracks_true"]
    lists |= {
        f"target_{n}": list(c)
        for n, c in zip(WEIGHTS, zip(*rows.weights, strict=True), strict=True)
    }
    return _in_float64(lists) if wide else lists


def _in_float64(lists: Attributes) -> Attributes:
    """Return the attributes for float64 rows, whose sums onnxruntime adds up in float64 too."""
    from onnx import numpy_helper

    for name in ("nodes_values", "target_weights"):
        values = np.array(lists.pop(name), np.float64)
        lists[f"{name}_as_tensor"] = numpy_helper.from_array(values)
    return lists


@dataclass
class _NodeTable:
    """One row for each node, in the order of ``NODES``, and for each number that a leaf adds."""

    ensemble: Ensemble
    nodes: list[list[Any]] = field(default_factory=list)
    weights: list[tuple[int, int, int, float]] = field(default_factory=list)

    def add(self, tree: int, root: int) -> None:
        """Add a tree: each node before its left side, and that before its right side."""
        begin, before = len(self.nodes), len(self.weights)
        waiting: list[tuple[int, range, int]] = [(root, range(0), 0)]
        while waiting:
            child, parents, side = waiting.pop()
            first = len(self.nodes)
            for parent in parents:
                self.nodes[parent][side] = first - begin
            if child < 0:
                self._leaf(tree, first - begin, ~child)
                continue
            self._questions(tree, first - begin, child)
            chain = range(first, len(self.nodes))
            waiting.append((int(self.ensemble.right[child]), chain[-1:], FALSE))
            waiting.append((int(self.ensemble.left[child]), chain, TRUE))

        self._check(begin, before)

    def _check(self, begin: int, before: int) -> None:
        """Refuse what onnxruntime up to 1.32 answers wrongly.

        It joins comparisons whose leaves have equal first weights, whatever the others are.
        """
        asks = any(row[NODES.index("modes")] == EQUAL for row in self.nodes[begin:])
        targets = {target for *_, target, weight in self.weights[before:] if weight}
        if asks and len(targets) > 1:
            raise UnsupportedModel(
                "sets of categories in a tree whose leaves add to several targets"
            )

    def _leaf(self, tree: int, place: int, leaf: int) -> None:
        self.nodes.append([tree, place, 0, 0.0, LEAF, 0, 0, 0])
        values = self.ensemble.leaves[leaf].astype(self.ensemble.threshold.dtype)
        targets = np.flatnonzero(values).tolist() or [0]
        self.weights += [(tree, place, target, float(values[target])) for target in targets]

    def _questions(self, tree: int, place: int, node: int) -> None:
        """Add one comparison; or one for each member, all with the same child if it holds."""
        ensemble = self.ensemble
        feature, missing = int(ensemble.feature[node]), int(ensemble.missing_left[node])
        if node not in ensemble.members:
            threshold = float(ensemble.threshold[node])
            self.nodes.append([tree, place, feature, threshold, AT_MOST, 0, 0, missing])
            return
        for i, member in enumerate(ensemble.members[node]):
            self.nodes.append([tree, place + i, feature, member, EQUAL, 0, place + i + 1, missing])


def read(node: Attributes) -> Ensemble | None:
    """Return the ensemble of an operator like those of :func:`attributes`, else ``None``."""
    ours = {f"nodes_{n}" for n in NODES} | {f"target_{n}" for n in WEIGHTS}
    if set(node) - ours - {"n_targets", "aggregate_function"}:
        return None
    if set(node["nodes_modes"]) - {AT_MOST, EQUAL, LEAF}:
        return None
    reader = _NodeReader(node)
    builder = EnsembleBuilder(max(node["nodes_featureids"]) + 1)
    for root in reader.roots():
        reader.grow(builder, root)
    return builder.ensemble()


class _NodeReader:
    """The operator's nodes by place; children as places."""

    def __init__(self, attributes: Attributes) -> None:
        self.attributes = attributes
        count = len(attributes["nodes_modes"])
        self.modes: list[str] = attributes["nodes_modes"]
        self.missing = attributes.get("nodes_missing_value_tracks_true") or [0] * count
        keys = zip(attributes["nodes_treeids"], attributes["nodes_nodeids"], strict=True)
        self.place = {key: i for i, key in enumerate(keys)}
        self.weights: dict[int, dict[int, float]] = {}
        weights = zip(*(attributes[f"target_{n}"] for n in WEIGHTS), strict=True)
        for tree, node, target, weight in weights:
            self.weights.setdefault(self.place[tree, node], {})[target] = weight

    def roots(self) -> list[int]:
        """Return the first node of every tree."""
        return [i for (_, node), i in self.place.items() if node == 0]

    def child(self, node: int, side: str) -> int:
        return self.place[
            self.attributes["nodes_treeids"][node], self.attributes[f"nodes_{side}"][node]
        ]

    def grow(self, builder: EnsembleBuilder, root: int) -> None:
        """Add the tree at ``root`` to an ensemble, children first."""
        built: dict[int, int] = {}
        for node, members, false in reversed(list(self._walk(root))):
            if self.modes[node] == LEAF:
                weights = self.weights.get(node, {})
                leaf = [weights.get(t, 0.0) for t in range(self.attributes["n_targets"])]
                built[node] = builder.leaf(leaf)
                continue
            sides = built[self.child(node, "truenodeids")], built[false]
            feature = self.attributes["nodes_featureids"][node]
            threshold = 0.0 if members else self.attributes["nodes_values"][node]
            missing = bool(self.missing[node])
            built[node] = builder.split((feature, threshold, missing, members, *sides))
        builder.roots.append(built[root])

    def _walk(self, root: int) -> Iterator[tuple[int, Members | None, int]]:
        """Yield nodes, parents first, with the members of a set, and the child for the rest."""
        waiting = [root]
        while waiting:
            node = waiting.pop()
            if self.modes[node] == LEAF:
                yield node, None, node
                continue
            members, false = self._chain(node)
            yield node, members, false
            waiting += [self.child(node, "truenodeids"), false]

    def _chain(self, node: int) -> tuple[Members | None, int]:
        false = self.child(node, "falsenodeids")
        if self.modes[node] != EQUAL:
            return None, false
        members = [self.attributes["nodes_values"][node]]
        while self._continues(node, false):
            members.append(self.attributes["nodes_values"][false])
            false = self.child(false, "falsenodeids")
        return tuple(members), false

    def _continues(self, node: int, false: int) -> bool:
        same = (
            self.attributes["nodes_featureids"][node] == self.attributes["nodes_featureids"][false]
        )
        true = self.child(node, "truenodeids")
        return self.modes[false] == EQUAL and same and self.child(false, "truenodeids") == true
