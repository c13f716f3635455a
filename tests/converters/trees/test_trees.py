"""The form of tree ensembles: what is dropped, what is shared, and what onnxruntime makes of it."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from converters.errors import UnsupportedModel
from converters.onnx_export.serialise import to_bytes
from converters.trees import classic, floats
from converters.trees.builder import EnsembleBuilder
from converters.trees.compact import compact
from converters.trees.ensemble import Ensemble
from converters.trees.library_tree import Tree

single = st.floats(width=32, allow_nan=False)
double = st.floats(allow_nan=False)


@given(double, single)
def test_a_threshold_rounded_down_routes_every_float32_as_before(threshold, x):
    assert (np.float32(x) <= floats.at_most(threshold)) == (x <= threshold)


@given(double, single)
def test_less_than_becomes_at_most_the_number_below(threshold, x):
    if threshold == -np.inf:
        return  # nothing is below it, and no library splits there
    assert (np.float32(x) <= floats.below(threshold)) == (x < threshold)


@given(single)
def test_a_float32_next_to_its_threshold_is_routed_as_before(x):
    near = np.float64(x) + np.spacing(np.float64(x)) * np.arange(-2, 3)
    assert list(np.float32(x) <= floats.at_most(near)) == list(x <= near)
    assert list(np.float32(x) <= floats.below(near)) == list(x < near)


@given(single, single)
def test_orders_are_those_of_the_numbers_and_lead_back(a, b):
    first, second = floats.ordinals(np.array([a, b], np.float32)).tolist()
    assert (first <= second) == (a <= b)
    assert floats.from_ordinals(np.array([first]))[0] == np.float32(a)


def tree(*nodes, values, members=None):
    """From rows ``(feature, threshold, missing left, left, right)``."""
    feature, threshold, missing, left, right = (np.array(c) for c in zip(*nodes, strict=True))
    return Tree(
        feature,
        threshold.astype(np.float32),
        missing.astype(bool),
        left,
        right,
        np.array(values, float).reshape(len(values), -1),
        0,
        members or {},
    )


def planted(*trees, width=2) -> Ensemble:
    builder = EnsembleBuilder(width)
    for each in trees:
        builder.add(each)
    return builder.ensemble()


DROPPED = {
    "a branch above what an earlier split lets through": (
        tree((0, 1, 0, 1, ~0), (0, 2, 0, ~1, ~2), values=[1, 2, 3]), 1,
    ),
    "a branch below what an earlier split lets through": (
        tree((0, 1, 0, ~0, 1), (0, 1, 0, ~1, ~2), values=[1, 2, 3]), 1,
    ),
    "not one that missing values still reach": (
        tree((0, 1, 1, 1, ~0), (0, 2, 0, ~1, ~2), values=[1, 2, 3]), 2,
    ),
    "not one for the same number of another feature": (
        tree((0, 1, 0, 1, ~0), (1, 2, 0, ~1, ~2), values=[1, 2, 3]), 2,
    ),
    "a split between equal leaves": (tree((0, 1, 0, ~0, ~1), values=[4, 4]), 0),
    "a split between equal subtrees": (
        tree((0, 1, 0, 1, 2), (1, 5, 0, ~0, ~1), (1, 5, 0, ~2, ~3), values=[1, 2, 1, 2]), 1,
    ),
    "a set without members": (tree((0, 0, 0, ~0, ~1), values=[1, 2], members={0: ()}), 0),
}  # fmt: skip


@pytest.mark.parametrize("case", DROPPED)
def test_what_no_row_can_tell_is_dropped(case):
    grown, nodes = DROPPED[case]
    made = planted(grown)
    assert made.nodes == nodes
    X = np.array([[x, z] for x in (0, 1, 1.5, 2, 3, np.nan) for z in (0, 5, 6)], np.float32)
    assert np.array_equal(made.sums(X).ravel(), walked(grown, X))


def walked(grown: Tree, X):
    """The answers of a tree, node by node."""
    found = []
    for row in X:
        at = grown.root
        while at >= 0:
            x = row[grown.feature[at]]
            if at in grown.members:
                left = x in grown.members[at]
            else:
                left = x <= grown.threshold[at] or (np.isnan(x) and grown.missing_left[at])
            at = grown.left[at] if left else grown.right[at]
        found.append(grown.values[~at][0])
    return np.array(found)


def test_equal_leaves_and_equal_trees_exist_once():
    one = tree((0, 1, 0, ~0, ~1), values=[1, 2])
    made = planted(one, one, tree((0, 3, 0, ~0, ~1), values=[2, 1]))
    assert (made.nodes, len(made.leaves), made.roots.tolist()) == (2, 2, [0, 0, 1])


NUMBERS = np.array([-np.inf, -1.5, -0.0, 0, 1e-45, 0.5, 1, 2, 3, 1e30, np.inf, np.nan], np.float32)


def random_ensemble(seed: int, targets: int, *, one_each: bool) -> Ensemble:
    """Up to six trees over three features.

    With ``one_each`` every tree adds to one target, and the last feature is asked for membership.
    """
    random = np.random.default_rng(seed)
    builder = EnsembleBuilder(3)

    def grow(depth: int, target: int) -> int:
        if depth == 0 or random.random() < 0.2:
            values = random.integers(-3, 4, targets).astype(float)
            if one_each:
                values[np.arange(targets) != target] = 0
            return builder.leaf(values)
        feature = int(random.integers(3))
        members = None
        if feature == 2 and one_each:
            members = tuple(random.choice(6, int(random.integers(1, 4)), replace=False) * 1.0)
        threshold = 0.0 if members else float(random.choice(NUMBERS[1:-2]))
        missing = bool(random.integers(2)) and members is None
        sides = grow(depth - 1, target), grow(depth - 1, target)
        return builder.split((feature, threshold, missing, members, *sides))

    count = int(random.integers(1, 7))
    builder.roots = [grow(4, int(random.integers(targets))) for _ in range(count)]
    return builder.ensemble()


def test_sets_are_refused_where_the_runtime_would_join_what_differs():
    mixed = tree((0, 0, 0, ~0, ~1), values=[[1, 2], [1, 3]], members={0: (3.0,)})
    with pytest.raises(UnsupportedModel, match="several targets"):
        classic.attributes(planted(mixed))


def classic_model(ensemble: Ensemble, *, average: bool = False):
    """A file of that ensemble alone."""
    attributes = classic.attributes(ensemble, average=average)
    node = helper.make_node(classic.NAME, ["X"], ["Y"], domain=classic.ML, **attributes)
    shapes = [("X", ensemble.width), ("Y", ensemble.targets)]
    values = [helper.make_tensor_value_info(n, 1, [None, size]) for n, size in shapes]
    graph = helper.make_graph([node], "model", values[:1], values[1:])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(classic.ML, classic.VERSION)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def answers(proto, X):
    session = onnxruntime.InferenceSession(to_bytes(proto), providers=["CPUExecutionProvider"])
    return session.run(None, {"X": X})[0]


@settings(max_examples=60)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 2, 3]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_both_operators_add_up_what_the_reference_does(seed, targets, one_each, average, based):
    ensemble = random_ensemble(seed, targets, one_each=one_each)
    if based:
        ensemble = ensemble.with_base(np.arange(targets) + 1.0)
    X = np.random.default_rng(seed).choice(NUMBERS, (200, 3)).astype(np.float32)
    expected = ensemble.sums(X) / (len(ensemble.roots) if average else 1)
    proto = classic_model(ensemble, average=average)
    assert np.array_equal(answers(proto, X), expected.astype(np.float32))
    smaller = compact(proto)
    onnx.checker.check_model(smaller)
    np.testing.assert_allclose(answers(smaller, X), expected, rtol=1e-6, atol=1e-6)


def test_base_values_are_added_to_targets_that_no_leaf_adds_to():
    ensemble = planted(tree((0, 1, 0, ~0, ~1), values=[[1, 0], [2, 0]]))
    based = ensemble.with_base(np.array([0.0, 5.0]))
    rows = np.zeros((1, 2), np.float32)
    for proto in (classic_model(based), compact(classic_model(based))):
        assert answers(proto, rows).tolist() == [[1, 5]]


def test_every_form_of_leaf_has_its_compact_form():
    for one_each in (True, False):
        proto = classic_model(random_ensemble(3, 3, one_each=one_each), average=True)
        kinds = [node.op_type for node in compact(proto).graph.node]
        assert kinds == (["TreeEnsemble"] if one_each else
                         ["TreeEnsemble", "Cast", "Gather", "ReduceMean"])  # fmt: skip


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 3]))
def test_what_was_written_reads_back_as_it_was(seed, targets):
    ensemble = random_ensemble(seed, targets, one_each=False)
    again = classic.read(classic.attributes(ensemble))
    X = np.random.default_rng(seed).choice(NUMBERS, (100, 3)).astype(np.float32)
    assert np.array_equal(again.sums(X), ensemble.sums(X))
    assert again.nodes == ensemble.nodes


def test_packed_bytes_are_the_same_model_and_fewer():
    proto = classic_model(random_ensemble(1, 2, one_each=False))
    raw = to_bytes(proto)
    assert onnx.load_from_string(raw) == proto
    assert len(raw) < 0.8 * len(proto.SerializeToString())
    assert to_bytes(onnx.load_from_string(raw)) == raw


def test_no_root_has_a_node_and_a_leaf_of_one_number():
    """Older runtimes would take it for a tree of one leaf."""
    for seed in range(100):
        node = compact(classic_model(random_ensemble(seed, 2, one_each=True))).graph.node[0]
        given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        for root in given["tree_roots"]:
            numbers = [given[f"nodes_{side}nodeids"][root] for side in ("true", "false")]
            leaves = [given[f"nodes_{side}leafs"][root] for side in ("true", "false")]
            assert numbers[0] != numbers[1] or leaves == [1, 1]
