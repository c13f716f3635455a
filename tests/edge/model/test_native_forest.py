"""The compiled forest: onnxruntime's answers to the last bit, or none."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from edge_sdk.model.lean_graph import only_node
from edge_sdk.model.native_forest import native_forest
from tests.structure import ROOT

COMPILER = shutil.which("cc")
pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C compiler (cc) on this machine")
FEATURES = 5


@pytest.fixture(scope="module", autouse=True)
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("native")
    include = sysconfig.get_paths()["include"]
    subprocess.run(
        [COMPILER or "cc", "-std=c11", "-O2", "-Wall", "-Werror", "-shared", "-fPIC",
         f"-I{include}",
         ROOT / "native" / "edge_native.c", "-o", folder / "edge_native.abi3.so"],
        check=True,
    )  # fmt: skip
    before = sys.modules.pop("edge_native", None)
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))
    sys.modules.pop("edge_native", None)
    if before is not None:
        sys.modules["edge_native"] = before


def grown(random: np.random.Generator, tree: int, depth: int, targets: int) -> dict[str, list[Any]]:
    """One tree: nodes in depth-first order, leaves with a weight for some targets."""
    out: dict[str, list[Any]] = {k: [] for k in ("id", "f", "v", "t", "n", "m", "wn", "wt", "w")}

    def node(left: int) -> int:
        number = len(out["id"])
        out["id"].append(number)
        leaf = left == 0 or (number > 0 and random.random() < 0.2)
        out["f"].append(0 if leaf else int(random.integers(FEATURES)))
        out["v"].append(0.0 if leaf else float(np.float32(np.rint(2 * random.normal()) / 2)))
        out["m"].append("LEAF" if leaf else "BRANCH_LEQ")
        out["t"].append(0)
        out["n"].append(0)
        if leaf:
            for target in range(targets):
                if random.random() < 0.7:
                    out["wn"].append(number)
                    out["wt"].append(target)
                    out["w"].append(
                        float(np.float32(random.normal() * 10.0 ** random.integers(-4, 4)))
                    )
        else:
            out["t"][number] = node(left - 1)
            out["n"][number] = node(left - 1)
        return number

    node(depth)
    return out


def forest(trees: int, targets: int, seed: int = 0, **changes: Any) -> bytes:
    random = np.random.default_rng(seed)
    parts = [grown(random, i, int(random.integers(0, 9)), targets) for i in range(trees)]

    def joined(key: str) -> list[Any]:
        return [value for part in parts for value in part[key]]

    attributes: dict[str, Any] = {
        "n_targets": targets, "aggregate_function": "AVERAGE",
        "nodes_treeids": [i for i, part in enumerate(parts) for _ in part["id"]],
        "nodes_nodeids": joined("id"), "nodes_featureids": joined("f"),
        "nodes_values": joined("v"), "nodes_truenodeids": joined("t"),
        "nodes_falsenodeids": joined("n"), "nodes_modes": joined("m"),
        "target_treeids": [i for i, part in enumerate(parts) for _ in part["wn"]],
        "target_nodeids": joined("wn"), "target_ids": joined("wt"), "target_weights": joined("w"),
    } | changes  # fmt: skip
    node = helper.make_node(
        "TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml",
        **{k: v for k, v in attributes.items() if v is not None},
    )  # fmt: skip
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node], "g", [value("x", TensorProto.FLOAT, ["n", FEATURES])],
        [value("y", TensorProto.FLOAT, ["n", targets])],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    raw: bytes = model.SerializeToString()
    return raw


def asking(model: bytes) -> Callable[[Any], Any]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda row: session.run(None, {"x": row})[0]


KINDS: dict[str, dict[str, Any]] = {
    "one tree": {"trees": 1, "targets": 3},
    "as many as are walked together": {"trees": 8, "targets": 2},
    "one more": {"trees": 9, "targets": 1},
    "many": {"trees": 101, "targets": 10},
    "a sum": {"trees": 20, "targets": 4, "aggregate_function": "SUM"},
    "base values": {"trees": 20, "targets": 2, "base_values": [0.25, -3.5]},
}


@pytest.mark.parametrize("kind", KINDS)
def test_answers_have_the_bits_of_the_runtimes(kind: str) -> None:
    model = forest(**KINDS[kind])
    ask = asking(model)
    found = native_forest(model, FEATURES, ask)
    assert found is not None
    row, scores = (
        np.empty((1, FEATURES), np.float32),
        np.empty(ask(np.zeros((1, FEATURES), np.float32)).shape, np.float32),
    )
    run = found.bind(row, scores).run
    random = np.random.default_rng(1)
    for each in np.rint(random.normal(size=(3_000, FEATURES)) * 4) / 2:  # many on the thresholds
        row[0] = each
        run()
        assert scores.tobytes() == ask(row).tobytes()


REFUSED: dict[str, dict[str, Any]] = {
    "another mode": {"nodes_modes": ["BRANCH_LT"]},
    "a transform": {"post_transform": "SOFTMAX"},
    "the least of the trees": {"aggregate_function": "MIN"},
    "a feature that the row does not have": {"nodes_featureids": [FEATURES]},
    "a child that is not there": {"nodes_truenodeids": [99]},
    "nodes in a ring": {"nodes_truenodeids": [0], "nodes_falsenodeids": [0]},
    "a target that is not there": {"target_ids": [7]},
    "a list that is too short": {"nodes_values": []},
    "weights of no leaf": {"target_nodeids": [0]},
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_it_cannot_do_is_refused_and_the_session_answers(case: str) -> None:
    from edge_native import Forest  # type: ignore[import-not-found, unused-ignore]

    stump: dict[str, Any] = {
        "nodes_treeids": [0] * 3, "nodes_nodeids": [0, 1, 2], "nodes_featureids": [1, 0, 0],
        "nodes_values": [0.5, 0.0, 0.0], "nodes_truenodeids": [1, 0, 0],
        "nodes_falsenodeids": [2, 0, 0], "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
        "target_treeids": [0, 0], "target_nodeids": [1, 2], "target_ids": [0, 0],
        "target_weights": [1.0, 2.0],
    }  # fmt: skip
    node = only_node(forest(1, 1, **stump), "TreeEnsembleRegressor")
    assert node is not None
    assert Forest(node, FEATURES) is not None
    changes = {
        k: (v + stump[k][len(v):] if isinstance(v, list) and v and k in stump else v or None)
        for k, v in REFUSED[case].items()
    }  # fmt: skip
    changed = only_node(forest(1, 1, **{**stump, **changes}), "TreeEnsembleRegressor")
    with pytest.raises(ValueError, match="plain thresholds"):
        Forest(changed, FEATURES)


def test_no_damage_of_its_bytes_brings_the_process_down() -> None:
    from edge_native import Forest  # type: ignore[import-not-found, unused-ignore]

    node = only_node(forest(4, 3), "TreeEnsembleRegressor")
    assert node is not None
    random = np.random.default_rng(2)
    row, scores = np.full((1, FEATURES), np.nan, np.float32), np.empty((1, 3), np.float32)
    for _ in range(20_000):
        damaged = bytearray(node)
        for place in random.integers(0, len(node), int(random.integers(1, 4))):
            damaged[place] = random.integers(256)
        with contextlib.suppress(ValueError):
            Forest(bytes(damaged[: random.integers(len(node) // 2, len(node) + 1)]), FEATURES).bind(
                row, scores
            ).run()


def test_other_answers_than_the_sessions_are_not_used() -> None:
    model = forest(5, 2)
    ask = asking(model)
    assert native_forest(model, FEATURES, ask) is not None
    assert native_forest(model, FEATURES, lambda row: np.nextafter(ask(row), np.float32(9))) is None
    assert native_forest(model, FEATURES, lambda row: ask(row)[:, :1]) is None
    assert native_forest(model, FEATURES, lambda row: ask(row).astype(np.float64)) is None


def test_a_graph_of_more_nodes_stays_with_the_session() -> None:
    model = onnx.load_from_string(forest(5, 2))
    model.graph.node.append(helper.make_node("Identity", ["y"], ["z"]))
    raw = model.SerializeToString()
    assert only_node(raw, "TreeEnsembleRegressor") is None
    assert native_forest(raw, FEATURES, asking(forest(5, 2))) is None
