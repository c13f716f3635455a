"""Small real releases that units can be told apart in, and priors for them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edge_sdk.contract.certificate import Certificate
from edge_sdk.contract.manifest import (
    CERTIFICATE,
    GOLDEN,
    MODEL,
    PROFILE,
    Cascade,
    Column,
    Manifest,
    OutputSpec,
    RuntimeNeeds,
    Signature,
    TensorSpec,
    Variant,
)
from edge_sdk.contract.personal.prior import (
    Basis,
    ClassPrior,
    NumberPrior,
    PersonalPrior,
    PersonalSettings,
)
from edge_sdk.contract.profile import FeatureProfile, ReferenceProfile
from edge_sdk.model.release import Golden, Release, write_release
from edge_sdk.personalise.basis import bases_of
from tests.edge.builders import NOTHING
from tests.edge.personalise.simulated_units import floats

HIDDEN = 6
EAGER = PersonalSettings(warm_up=0.0, start=(0.2, 0.6, 0.2))
"""Settings with which a first label changes the answer already."""


def unit_rows(count: int, features: int = 4, seed: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(count, features)).astype(np.float32)


def unit_release(
    folder: Path,
    *,
    features: int = 4,
    classes: int = 3,
    embedding: bool = False,
    number: bool = False,
    version: str = "1.0",
    seed: int = 0,
    argmax: bool = True,
    cascade: Cascade | None = None,
    model: str = "demo",
) -> Release:
    """A network with one hidden layer, which is its embedding output where that is asked for."""
    rng = np.random.default_rng(seed)
    width = 1 if number else classes
    first = rng.normal(size=(features, HIDDEN)).astype(np.float32)
    second = rng.normal(size=(HIDDEN, width)).astype(np.float32)
    x = unit_rows(8, features, 3)
    hidden = np.maximum(x @ first, 0)
    scores = hidden @ second
    answers: dict[str, NDArray[Any]]
    if number:
        answers = {"value": scores}
        outputs = [OutputSpec("value", "float32", (None, 1), "value")]
    else:
        odds = np.exp(scores - scores.max(axis=1, keepdims=True))
        p = odds / odds.sum(axis=1, keepdims=True)
        answers = {"label": p.argmax(axis=1), "probabilities": p}
        outputs = [
            OutputSpec("label", "int64", (None,), "label"),
            OutputSpec("probabilities", "float32", (None, classes), "probabilities"),
        ]
    if embedding:
        answers["inner"] = hidden
        outputs.append(OutputSpec("inner", "float32", (None, HIDDEN), "embedding"))
    manifest = Manifest(
        model=model,
        version=version,
        task="regression" if number else "classification",
        signature=Signature(
            inputs=(TensorSpec("X", "float32", (None, features)),),
            outputs=tuple(outputs),
            columns=tuple(Column(f"f{i}", "float32", "X", i) for i in range(features)),
            classes=() if number else tuple(range(classes)),
        ),
        files=NOTHING,
        variants=(Variant("float32", RuntimeNeeds(10, {"": 18})),),
        cascade=cascade,
        training={"label": "argmax"} if argmax and not number else {},
    )
    files = {
        MODEL: _network(first, second, outputs),
        PROFILE: _profile(features, classes, number=number).to_json(),
        GOLDEN: Golden({"X": x}, answers, 1e-4).to_bytes(),
        CERTIFICATE: Certificate("float32", (), 8).to_json(),
    }
    return write_release(folder / f"{model}-{version}-{seed}-{features}", manifest, files)


def _network(
    first: NDArray[np.float32], second: NDArray[np.float32], outputs: list[OutputSpec]
) -> bytes:
    names = {spec.name for spec in outputs}
    scores = "value" if "value" in names else "scores"
    nodes = [
        helper.make_node("MatMul", ["X", "first"], ["sums"]),
        helper.make_node("Relu", ["sums"], ["inner"]),
        helper.make_node("MatMul", ["inner", "second"], [scores]),
    ]
    if "probabilities" in names:
        nodes.append(helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1))
        nodes.append(helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0))
    kinds = {"int64": TensorProto.INT64, "float32": TensorProto.FLOAT}
    graph = helper.make_graph(
        nodes,
        "demo",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, len(first)])],
        [helper.make_tensor_value_info(s.name, kinds[s.dtype], list(s.shape)) for s in outputs],
        [numpy_helper.from_array(first, "first"), numpy_helper.from_array(second, "second")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(made)
    return bytes(made.SerializeToString())


def _profile(features: int, classes: int, *, number: bool) -> ReferenceProfile:
    edges = tuple(np.linspace(-3, 3, 33).tolist())
    columns = tuple(FeatureProfile(f"f{i}", (0,) * 34, edges=edges) for i in range(features))
    if number:
        return ReferenceProfile(8, columns, (FeatureProfile("value", (0,) * 34, edges=edges),))
    categories = tuple(map(str, range(classes)))
    labels = FeatureProfile("label", (0,) * (classes + 2), categories=categories)
    confidence = FeatureProfile("confidence", (0,) * 34, edges=tuple(np.linspace(0, 1, 33)))
    return ReferenceProfile(8, columns, (labels, confidence))


def unit_prior(
    release: Release,
    basis: Basis | None = None,
    *,
    rank: int = 3,
    helps: bool = True,
    generation: int = 1,
    seed: int = 5,
    settings: PersonalSettings = EAGER,
) -> PersonalPrior:
    """A prior of a release: by default of the best basis that it can give."""
    manifest, rng = release.manifest, np.random.default_rng(seed)
    signature = manifest.signature
    named = bases_of(manifest)[0] if basis is None else basis
    about = (manifest.model, manifest.version, release.digest, generation)
    if not signature.classes:
        part = NumberPrior(0.0, 2.0, 4.0, 1.0, 0.25)
        return PersonalPrior(*about, "outputs", helps, settings, number=part)
    classes, columns = len(signature.classes), len(signature.columns)
    sizes = {"outputs": classes, "features": columns, "embedding": HIDDEN}
    size = sum(sizes[each] for each in named.split("+"))
    return PersonalPrior(
        *about,
        named,
        helps,
        settings,
        signature.classes,
        ClassPrior(
            floats(rng.normal(size=(rank, size)) / np.sqrt(size)),
            floats(rng.normal(size=size)),
            floats(rng.normal(size=(classes, rank))),
            floats(np.full(rank, 1.0)),
            floats(np.full(rank, 1.0)),
            floats(np.full(classes, 1 / classes)),
        ),
    )


def another_generation(prior: PersonalPrior, generation: int) -> PersonalPrior:
    return replace(prior, generation=generation)
