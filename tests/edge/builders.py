"""Small real releases, made in milliseconds: a linear softmax classifier as ONNX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edge_sdk.contract.certificate import Certificate
from edge_sdk.contract.groups import GroupColumn
from edge_sdk.contract.manifest import (
    CERTIFICATE,
    GOLDEN,
    MODEL,
    PROFILE,
    Budget,
    Cascade,
    Column,
    FileRef,
    Manifest,
    OutputSpec,
    RuntimeNeeds,
    Signature,
    TensorSpec,
    Variant,
)
from edge_sdk.contract.names import CPU
from edge_sdk.contract.profile import FeatureProfile, ReferenceProfile
from edge_sdk.model.release import Golden, Release, write_release
from edge_sdk.telemetry.histograms import histogram

FEATURES, CLASSES = 4, 3
NOTHING = {n: FileRef(0, "0" * 64) for n in (MODEL, PROFILE, GOLDEN, CERTIFICATE)}


def weights(seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(FEATURES, CLASSES)).astype(np.float32)


def rows(count: int, seed: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(count, FEATURES)).astype(np.float32)


def softmax(x: NDArray[np.float32], seed: int) -> NDArray[np.float64]:
    scores = x.astype(np.float64) @ weights(seed)
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return shares


def onnx_bytes(
    seed: int, *, defect: str | None = None, ballast: Mapping[str, NDArray[Any]] | None = None
) -> bytes:
    """A model whose answers depend on ``seed``; ``ballast`` are tensors that change none of them.

    ``defect="nan"`` makes every probability NaN; ``"crash"`` makes every call fail, ``"touchy"``
    only those with a first feature above 100, on which ``"hang"`` does not end for hours;
    ``"misfit"`` fails on them in runtimes, too, that do not look where a table ends.
    """
    initializers = [numpy_helper.from_array(a, name) for name, a in (ballast or {}).items()]
    initializers.append(numpy_helper.from_array(weights(seed), "W"))
    nodes = [helper.make_node("MatMul", ["X", "W"], ["scores"])]
    if defect == "crash":
        initializers.append(numpy_helper.from_array(np.array([1, 99], np.int64), "shape"))
        nodes.append(helper.make_node("Reshape", ["scores", "shape"], ["probabilities"]))
    elif defect == "nan":
        nodes.append(helper.make_node("Sqrt", ["negative"], ["nan"]))
        nodes.append(helper.make_node("Add", ["scores", "nan"], ["probabilities"]))
        initializers.append(numpy_helper.from_array(np.array([-1.0], np.float32), "negative"))
    elif defect in ("touchy", "hang", "misfit"):
        more, constants = {"touchy": touchy, "hang": hanging, "misfit": misfitting}[defect]()
        nodes += [*more, helper.make_node("Add", ["scores", "nothing"], ["sums"])]
        initializers += constants
        nodes.append(helper.make_node("Softmax", ["sums"], ["probabilities"], axis=1))
    else:
        nodes.append(helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1))
    nodes.append(helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0))
    graph = helper.make_graph(
        nodes,
        "demo",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, FEATURES])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, [None]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, CLASSES]),
        ],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def beyond(factor: int) -> tuple[list[Any], list[Any]]:
    """``often``: ``factor`` where a first feature is above 100, else 0."""
    nodes = [
        helper.make_node("Gather", ["X", "first"], ["firsts"], axis=1),
        helper.make_node("ReduceMax", ["firsts"], ["largest"], keepdims=0),
        helper.make_node("Greater", ["largest", "hundred"], ["above"]),
        helper.make_node("Cast", ["above"], ["flag"], to=TensorProto.INT64),
        helper.make_node("Mul", ["flag", "factor"], ["often"]),
    ]
    constants: dict[str, NDArray[Any]] = {
        "first": np.array(0, np.int64),
        "hundred": np.array(100, np.float32),
        "factor": np.array(factor, np.int64),
    }
    return nodes, [numpy_helper.from_array(array, name) for name, array in constants.items()]


def touchy() -> tuple[list[Any], list[Any]]:
    """``nothing`` is 0, looked up beyond the end of a table where a first feature is above 100."""
    nodes, constants = beyond(99)
    nodes.append(helper.make_node("Gather", ["table", "often"], ["nothing"]))
    return nodes, [*constants, numpy_helper.from_array(np.zeros(2, np.float32), "table")]


def misfitting() -> tuple[list[Any], list[Any]]:
    """``nothing`` is 0, in a shape that scores do not fit where a first feature is above 100."""
    nodes, constants = beyond(99)
    nodes += [
        helper.make_node("Mul", ["often", "in_a_row"], ["more"]),
        helper.make_node("Add", ["more", "usual"], ["shape"]),
        helper.make_node("Reshape", ["scores", "shape"], ["reshaped"]),
        helper.make_node("Sub", ["reshaped", "scores"], ["nothing"]),
    ]
    more = {"in_a_row": np.array([0, 1], np.int64), "usual": np.array([0, CLASSES], np.int64)}
    return nodes, [*constants, *(numpy_helper.from_array(a, name) for name, a in more.items())]


def hanging() -> tuple[list[Any], list[Any]]:
    """``nothing`` is 0, after very many rounds where a first feature is above 100."""
    nodes, constants = beyond(10**12)
    scalar = [
        helper.make_tensor_value_info(name, kind, [])
        for name, kind in (
            ("i", TensorProto.INT64),
            ("on", TensorProto.BOOL),
            ("x", TensorProto.FLOAT),
            ("still", TensorProto.BOOL),
            ("y", TensorProto.FLOAT),
        )
    ]
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["on"], ["still"]),
            helper.make_node("Sin", ["x"], ["y"]),
        ],
        "round",
        scalar[:3],
        scalar[3:],
    )
    nodes.append(helper.make_node("Loop", ["often", "yes", "zero"], ["nothing"], body=body))
    constants.append(numpy_helper.from_array(np.array(True), "yes"))
    constants.append(numpy_helper.from_array(np.array(0, np.float32), "zero"))
    return nodes, constants


def profile() -> ReferenceProfile:
    x = rows(2_000, seed=7).astype(np.float64)
    features = []
    for i in range(FEATURES):
        edges = tuple(float(e) for e in np.quantile(x[:, i], np.linspace(0, 1, 33)))
        empty = FeatureProfile(f"f{i}", (0,) * 34, edges=edges)
        counts = tuple(int(c) for c in histogram(empty, x[:, i]))
        features.append(FeatureProfile(f"f{i}", counts, edges=edges))
    labels = FeatureProfile("label", (0,) * (CLASSES + 2), categories=("0", "1", "2"))
    confidence = FeatureProfile("confidence", (0,) * 4, edges=(0.0, 0.5, 1.0))
    return ReferenceProfile(2_000, tuple(features), (labels, confidence))


def make_release(
    folder: Path,
    model: str = "demo",
    version: str = "1.0",
    seed: int = 0,
    *,
    defect: str | None = None,
    cascade: Cascade | None = None,
    budget: Budget = Budget(),
    argmax: bool = True,
    golden_seed: int | None = None,
    padding: int = 0,
    ballast: Mapping[str, NDArray[Any]] | None = None,
    columns: Sequence[str] = ("f0", "f1", "f2", "f3"),
    groups: Sequence[GroupColumn] = (),
    alternatives: Sequence[Variant] = (),
    documents: Mapping[str, bytes] | None = None,
    first: str = CPU,
    spare_defect: str | None = None,
) -> Release:
    """Write a release; its answers depend on ``seed`` alone. ``padding`` makes its certificate
    larger, ``ballast`` its model; ``alternatives`` are more variants, of the same model, ``first``
    is the provider of the first one. ``defect`` is the first one's, ``spare_defect`` the others'.
    """
    x = rows(16, seed=3)
    p = softmax(x, seed if golden_seed is None else golden_seed)
    golden = Golden(
        {"X": x}, {"label": p.argmax(axis=1), "probabilities": p.astype(np.float32)}, 1e-5
    )
    manifest = Manifest(
        model=model,
        version=version,
        task="classification",
        signature=Signature(
            inputs=(TensorSpec("X", "float32", (None, FEATURES)),),
            outputs=(
                OutputSpec("label", "int64", (None,), "label"),
                OutputSpec("probabilities", "float32", (None, CLASSES), "probabilities"),
            ),
            columns=tuple(Column(name, "float32", "X", i) for i, name in enumerate(columns)),
            classes=tuple(range(CLASSES)),
        ),
        files=NOTHING | {n: FileRef(0, "0" * 64) for v in alternatives for n in v.files},
        variants=(
            Variant("float32", RuntimeNeeds(10, {"": 18}), provider=first),
            *alternatives,
        ),
        cascade=cascade,
        budget=budget,
        training={"label": "argmax"} if argmax else {},
        groups=tuple(groups),
    )
    files = {
        MODEL: onnx_bytes(seed, defect=defect, ballast=ballast),
        PROFILE: profile().to_json(),
        GOLDEN: golden.to_bytes(),
        CERTIFICATE: Certificate("float32", (), 16, repeat="x" * padding).to_json(),
    }
    for variant in alternatives:
        made = onnx_bytes(seed, defect=spare_defect, ballast=alternative(variant))
        own = (made, golden.to_bytes())
        certificate = Certificate(variant.name, (), 16, repeat="x" * padding).to_json()
        files |= dict(zip(variant.files, (*own, certificate), strict=True))
    return write_release(
        folder / f"{model}-{version}-{seed}", manifest, files | dict(documents or {})
    )


def alternative(variant: Variant) -> dict[str, NDArray[Any]]:
    """Ballast that makes the model of a variant another file, of the same answers."""
    return {"of": np.array([variant.name])}


def variant_of(name: str, provider: str = CPU) -> Variant:
    """A variant with files of its own, named by it."""
    needs = RuntimeNeeds(10, {"": 18})
    files = f"model-{name}.onnx", f"golden-{name}.npz", f"certificate-{name}.json"
    return Variant(name, needs, "float16", "any", provider, *files)
