"""The compiled forest: onnxruntime's answers to the last bit, or none."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from edge_sdk.contract.manifest import CERTIFICATE, GOLDEN, MODEL, PROFILE, OutputSpec
from edge_sdk.errors import InputError
from edge_sdk.model.lean_graph import only_node
from edge_sdk.model.native_forest import INTERFACE, native_forest
from edge_sdk.model.options import RuntimeOptions
from edge_sdk.model.release import Release, write_release
from edge_sdk.model.session import Model
from edge_sdk.serving.predictor import Predictor
from edge_sdk.serving.terms import ServingTerms
from tests.edge.builders import FEATURES as COLUMNS
from tests.edge.builders import make_release
from tests.structure import ROOT
from tests.waiting import PATIENCE

pytestmark = pytest.mark.c
FEATURES = 5
TERMS = ServingTerms()
FLAGS = ("-std=c11", "-O2", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror", "-fPIC")


@pytest.fixture(scope="module", autouse=True)
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The module of this checkout, in place of one that may be installed."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("compiled forests need a C compiler: apt-get install gcc libc6-dev")
    folder = tmp_path_factory.mktemp("native")
    include, source = sysconfig.get_paths()["include"], ROOT / "native" / "edge_native.c"
    out = folder / "edge_native.abi3.so"
    command = [compiler, *FLAGS, f"-I{include}", "-shared", source, "-o", out]
    subprocess.run(command, check=True, timeout=PATIENCE)
    before = sys.modules.pop("edge_native", None)
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))
    sys.modules.pop("edge_native", None)
    if before is not None:
        sys.modules["edge_native"] = before


def grown(
    random: np.random.Generator, depth: int, targets: int, features: int
) -> dict[str, list[Any]]:
    """One tree: nodes in depth-first order, leaves with a weight for some targets."""
    out: dict[str, list[Any]] = {k: [] for k in ("id", "f", "v", "t", "n", "m", "wn", "wt", "w")}

    def node(left: int) -> int:
        number = len(out["id"])
        out["id"].append(number)
        leaf = left == 0 or (number > 0 and random.random() < 0.2)
        out["f"].append(0 if leaf else int(random.integers(features)))
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


def forest(
    trees: int, targets: int, seed: int = 0, features: int = FEATURES, **changes: Any
) -> bytes:
    """A model of one operator, of trees that are drawn by chance."""
    random = np.random.default_rng(seed)
    depths = random.integers(0, 9, trees).tolist()
    parts = [grown(random, depth, targets, features) for depth in depths]

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
        "TreeEnsembleRegressor", ["X"], ["probabilities"], domain="ai.onnx.ml",
        **{k: v for k, v in attributes.items() if v is not None},
    )  # fmt: skip
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node], "g", [value("X", TensorProto.FLOAT, ["n", features])],
        [value("probabilities", TensorProto.FLOAT, ["n", targets])],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    raw: bytes = model.SerializeToString()
    return raw


def asking(model: bytes) -> Callable[[Any], Any]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda row: session.run(None, {"X": row})[0]


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
    "numbers far apart": {"nodes_nodeids": [0, 1, 10**6], "nodes_falsenodeids": [10**6]},
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_it_cannot_do_is_refused_and_the_session_answers(case: str) -> None:
    from edge_native import Forest

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
    from edge_native import Forest

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
    model.graph.node.append(helper.make_node("Identity", ["probabilities"], ["z"]))
    raw = model.SerializeToString()
    assert only_node(raw, "TreeEnsembleRegressor") is None
    assert native_forest(raw, FEATURES, asking(forest(5, 2))) is None


def chains(trees: int, length: int) -> dict[str, Any]:
    """Attributes of deep trees: each node leads to a leaf and to the next, the last to two."""
    branch = np.arange(2 * length + 1) % 2 == 0
    branch[-1] = False
    number = np.arange(2 * length + 1)
    random = np.random.default_rng(5)
    leaves = number[~branch]
    lists = {
        "nodes_nodeids": number, "nodes_featureids": number % COLUMNS * branch,
        "nodes_values": -3.0 * branch, "nodes_truenodeids": (number + 1) * branch,
        "nodes_falsenodeids": (number + 2) * branch,
        "nodes_modes": np.where(branch, "BRANCH_LEQ", "LEAF"),
        "target_nodeids": leaves, "target_ids": leaves % 3,
        "target_weights": random.normal(size=len(leaves)).astype(np.float32),
    }  # fmt: skip
    return {name: np.tile(each, trees).tolist() for name, each in lists.items()} | {
        "nodes_treeids": np.repeat(np.arange(trees), len(number)).tolist(),
        "target_treeids": np.repeat(np.arange(trees), len(leaves)).tolist(),
    }


def forest_release(folder: Path, trees: int = 30, **changes: Any) -> Release:
    """A regressor of three targets: its answers are the scores as they come."""
    like = make_release(folder)
    outputs = (OutputSpec("probabilities", "float32", (None, 3), "probabilities"),)
    signature = replace(like.manifest.signature, outputs=outputs)
    files: dict[str, bytes | Path] = {
        name: like.folder / name for name in (PROFILE, GOLDEN, CERTIFICATE)
    }
    files[MODEL] = forest(trees, 3, features=COLUMNS, **changes)
    return write_release(folder / "forest", replace(like.manifest, signature=signature), files)


def hostile() -> Any:
    """Rows of what floats can be: zeros of both signs, tiny, huge, infinite, none; thresholds."""
    some = [0.0, -0.0, 0.5, -0.5, 1.0, 1e-45, -1e-45, 3e38, -3e38, np.inf, -np.inf, np.nan]
    return np.random.default_rng(3).choice(np.array(some, np.float32), (2_000, COLUMNS))


def answer(predictor: Predictor, row: Any) -> tuple[Any, ...]:
    """What came, in values that compare; a refusal is its kind and text."""
    try:
        p = predictor.predict(row)
    except InputError as error:
        return error.kind, str(error)
    assert p.probabilities is not None
    return p.label, repr(p.confidence), p.probabilities.tobytes()


def without_it(monkeypatch: pytest.MonkeyPatch, release: Release) -> Predictor:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "edge_native", None)  # importing it fails
        predictor = Predictor(release, TERMS, tag="t")
    assert predictor.model._forest is None
    return predictor


def test_devices_with_it_and_without_it_answer_and_refuse_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = forest_release(tmp_path)
    compiled, plain = Predictor(release, TERMS, tag="t"), without_it(monkeypatch, release)
    assert compiled.model._forest is not None
    answers = [answer(compiled, row) for row in hostile()]
    assert answers == [answer(plain, row) for row in hostile()]
    assert {len(each) for each in answers} == {2, 3}  # some were refused, some answered


def test_a_forest_goes_with_its_session_and_comes_back(tmp_path: Path) -> None:
    predictor = Predictor(forest_release(tmp_path), TERMS, tag="t")
    row = np.ones(COLUMNS, np.float32)
    before = answer(predictor, row)
    predictor.model.unload()
    assert predictor.model._forest is None
    assert answer(predictor, row) == before
    assert predictor.model._forest is not None


def test_more_threads_than_one_are_the_sessions(tmp_path: Path) -> None:
    release = forest_release(tmp_path)
    assert Model.load(release, RuntimeOptions(threads=2), lean=True)._forest is None
    assert Model.load(release)._forest is None  # the whole file, as the converters ask it


@pytest.mark.parametrize("deep", [False, True], ids=["keeps the GIL", "gives it up"])
def test_threads_share_a_forest(tmp_path: Path, deep: bool) -> None:
    changes = chains(trees=100, length=700) if deep else {}
    predictor = Predictor(forest_release(tmp_path, **changes), TERMS, tag="t")
    rows = np.random.default_rng(4).normal(size=(50, COLUMNS)).astype(np.float32)
    expected = [answer(predictor, row) for row in rows]
    wrong: list[int] = []

    def ask(first: int) -> None:
        order = np.roll(np.arange(len(rows)), first).tolist()
        wrong.extend(i for i in order if answer(predictor, rows[i]) != expected[i])

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert wrong == []
    assert predictor.model._forest is not None


def test_a_module_that_does_not_fit_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import edge_native

    model = forest(5, 2)
    ask = asking(model)
    for number in (INTERFACE + 1, None):
        other = SimpleNamespace(Forest=edge_native.Forest, INTERFACE=number)
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "edge_native", other)
            assert native_forest(model, FEATURES, ask) is None
    (tmp_path / "edge_native.abi3.so").write_bytes(b"of another machine")
    with monkeypatch.context() as patch:
        patch.delitem(sys.modules, "edge_native")
        patch.syspath_prepend(tmp_path)
        assert native_forest(model, FEATURES, ask) is None
    assert native_forest(model, FEATURES, ask) is not None


def test_what_is_installed_is_what_is_called() -> None:
    try:
        metadata.version("edge-deployment-sdk-native")
    except metadata.PackageNotFoundError:
        pytest.skip("the compiled forests are not installed: pip install ./native")
    program = "import edge_native as n; print(n.INTERFACE, hasattr(n.Forest, 'bind'))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert done.stdout.split() == [str(INTERFACE), "True"]
