"""A graph without an output that nobody reads: the same answers from fewer nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edge_sdk.errors import ReleaseError
from edge_sdk.model import lean_graph
from edge_sdk.model.lean_graph import without_output
from edge_sdk.model.release import Golden
from edge_sdk.model.session import Model
from edge_sdk.update.probe import _answers, _check_golden
from tests.edge.builders import make_release

TENSOR = helper.make_tensor_value_info


def model_of(*nodes: Any, outputs: tuple[str, ...] = ("label", "probabilities")) -> bytes:
    """Two features, a weight of [2, 3], and the nodes."""
    weight = numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(2, 3), "w")
    values = {
        "label": TENSOR("label", TensorProto.INT64, ["n"]),
        "probabilities": TENSOR("probabilities", TensorProto.FLOAT, ["n", 3]),
    }
    graph = helper.make_graph(
        nodes, "g", [TENSOR("x", TensorProto.FLOAT, ["n", 2])], [values[n] for n in outputs],
        [weight],
    )  # fmt: skip
    raw: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9
    ).SerializeToString()
    return raw


SCORES = helper.make_node("MatMul", ["x", "w"], ["scores"])
SOFTMAX = helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1)
LARGEST = helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0)
WHOLE = model_of(SCORES, SOFTMAX, LARGEST)


def operators(model: bytes) -> list[str]:
    return [node.op_type for node in onnx.load_from_string(model).graph.node]


def test_nodes_that_only_the_output_needs_are_left_out() -> None:
    lean = onnx.load_from_string(without_output(WHOLE, "label"))
    assert [node.op_type for node in lean.graph.node] == ["MatMul", "Softmax"]
    assert [output.name for output in lean.graph.output] == ["probabilities"]
    onnx.checker.check_model(lean)
    # Nothing else changes: with the node and the output put back it is the file again.
    whole = onnx.load_from_string(WHOLE)
    lean.graph.node.append(whole.graph.node[2])
    lean.graph.output.insert(0, whole.graph.output[0])
    assert lean == whole


def test_a_chain_is_left_out_as_far_as_nothing_else_reads_it() -> None:
    copy = helper.make_node("Identity", ["scores"], ["copied"])
    largest = helper.make_node("ArgMax", ["copied"], ["label"], axis=1, keepdims=0)
    model = model_of(SCORES, copy, SOFTMAX, largest)
    assert operators(without_output(model, "label")) == ["MatMul", "Softmax"]


BRANCH = helper.make_graph(
    [helper.make_node("Identity", ["scores"], ["out"])], "b", [],
    [TENSOR("out", TensorProto.FLOAT, ["n", 3])],
)  # fmt: skip
STAYS = {
    "the output is none of the graph": (WHOLE, "other"),
    "it is the only one": (model_of(SCORES, SOFTMAX, LARGEST, outputs=("label",)), "label"),
    "no node is for it alone": (
        model_of(helper.make_node("Split", ["x"], ["label", "probabilities"])), "label",
    ),
    "a node has a graph of its own, which reads outer values": (
        model_of(
            SCORES, SOFTMAX,
            helper.make_node("If", ["c"], ["y"], then_branch=BRANCH, else_branch=BRANCH),
            LARGEST,
        ),
        "label",
    ),
    "it is no ONNX": (b"\x3a\xff\xff\xff\xff\xff", "label"),
    "it is empty": (b"", "label"),
    "two graphs": (WHOLE + WHOLE, "label"),
}  # fmt: skip


@pytest.mark.parametrize("case", STAYS, ids=list(STAYS))
def test_it_stays_as_it_is_where(case: str) -> None:
    model, output = STAYS[case]
    assert without_output(model, output) == model


def test_a_large_model_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lean_graph, "LARGEST_BYTES", len(WHOLE) - 1)
    assert without_output(WHOLE, "label") == WHOLE


@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 255), st.integers(0, len(WHOLE)))
def test_no_damage_makes_it_fail(place: int, byte: int, end: int) -> None:
    damaged = bytearray(WHOLE)
    damaged[place] = byte
    assert isinstance(without_output(bytes(damaged[:end]), "label"), bytes)


def test_a_lean_model_gives_what_the_whole_one_gives(tmp_path: Path) -> None:
    release = make_release(tmp_path)
    inputs = release.golden().inputs
    whole, lean = Model.load(release).run(inputs), Model.load(release, lean=True).run(inputs)
    assert set(whole) - set(lean) == {"label"}
    for name, answer in lean.items():
        np.testing.assert_array_equal(answer, whole[name])


def test_a_label_that_does_not_follow_is_computed(tmp_path: Path) -> None:
    release = make_release(tmp_path, argmax=False)
    assert "label" in Model.load(release, lean=True).run(release.golden().inputs)


def test_the_probe_compares_the_label_that_predictions_give(tmp_path: Path) -> None:
    release = make_release(tmp_path)
    golden = release.golden()
    answers = _answers(Model.load(release, lean=True), golden.inputs)
    _check_golden(answers, golden)
    wrong = {**golden.outputs, "label": (golden.outputs["label"] + 1) % 3}
    with pytest.raises(ReleaseError, match="'label' differs"):
        _check_golden(answers, Golden(golden.inputs, wrong, golden.tolerance))
