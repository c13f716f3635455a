"""Temporary release around a bare ``.onnx`` file.

Its signature comes from onnxruntime, its profile from the rows to measure with, so that monitoring
has as much work as with a real release. A file whose outputs are one integer per row and a table of
floats counts as a classifier if that integer is a column of the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_sdk.bench.raw import RawSession
from edge_sdk.bench.rows import at_random, from_file
from edge_sdk.contract.certificate import Certificate
from edge_sdk.contract.manifest import (
    CERTIFICATE,
    GOLDEN,
    MODEL,
    PROFILE,
    Column,
    FileRef,
    Manifest,
    OutputSpec,
    RuntimeNeeds,
    Signature,
    TensorSpec,
    Variant,
)
from edge_sdk.contract.profile import FeatureProfile, ReferenceProfile
from edge_sdk.errors import BenchError, ContractError
from edge_sdk.model.release import Feed, Golden, Release, write_release
from edge_sdk.model.values import category
from edge_sdk.telemetry.histograms import histogram

_ROWS: Final = 256
_BINS: Final = 32
_NOTHING: Final = {name: FileRef(0, "0" * 64) for name in (MODEL, PROFILE, GOLDEN, CERTIFICATE)}


def release_around(path: Path, folder: Path, rows: Path | None = None) -> Release:
    """Write a release of a bare model.

    Args:
        path: ``.onnx`` file.
        folder: release folder to create.
        rows: file of real rows to measure with; by default random ones.

    Raises:
        BenchError: the model does not load, fails on the rows, or has values that are not tensors.
    """
    session = RawSession(path, threads=1)
    inputs, outputs = session.inputs(), session.outputs()
    batched = _is_batched(inputs, outputs)
    feed = from_file(rows, inputs) if rows else at_random(inputs, _ROWS, batched=batched)
    answers = _answers(session, feed, inputs, batched)
    reading = _reading(outputs, answers, batched)
    try:
        manifest = Manifest(
            model="bench",
            version="1.0",
            task="classification" if reading.classes else "generic",
            signature=Signature(
                inputs, reading.outputs, _columns(inputs, batched), reading.classes, batched
            ),
            files=_NOTHING,
            variants=(Variant("float32", RuntimeNeeds(0, {})),),
            training={"label": "argmax"} if reading.argmax else {},
        )
    except ContractError as error:
        raise BenchError(f"{path}: {error}") from error
    files = {
        MODEL: path.read_bytes(),
        PROFILE: _profile(manifest.signature, feed, answers).to_json(),
        GOLDEN: Golden(_storable(feed), _storable(answers), 1e-4).to_bytes(),
        CERTIFICATE: Certificate("float32", (), len(feed)).to_json(),
    }
    return write_release(folder, manifest, files)


@dataclass(frozen=True)
class _Reading:
    outputs: tuple[OutputSpec, ...]
    classes: tuple[int, ...] = ()
    argmax: bool = False


def _reading(outputs: tuple[OutputSpec, ...], answers: Feed, batched: bool) -> _Reading:
    """Return the roles of the outputs, as far as the answers show them."""
    labels = [spec for spec in outputs if len(spec.shape) == 1 and spec.dtype == "int64"]
    tables = [spec for spec in outputs if len(spec.shape) == 2 and spec.dtype == "float32"]
    if not batched or (len(labels), len(tables), len(outputs)) != (1, 1, 2):
        return _Reading(outputs)
    # The graph does not name roles; the answers to the rows decide.
    label, table = answers[labels[0].name], answers[tables[0].name]
    count = table.shape[1]
    if count < 2 or label.min() < 0 or label.max() >= count:
        return _Reading(outputs)
    roles = {
        labels[0].name: replace(labels[0], role="label"),
        tables[0].name: replace(tables[0], shape=(None, count), role="probabilities"),
    }
    argmax = bool((table.argmax(axis=1) == label).all())
    return _Reading(tuple(roles[s.name] for s in outputs), tuple(range(count)), argmax)


def _is_batched(inputs: Sequence[TensorSpec], outputs: Sequence[OutputSpec]) -> bool:
    shapes = [spec.shape for spec in inputs] + [spec.shape for spec in outputs]
    return all(shape[:1] == (None,) for shape in shapes)


def _answers(session: RawSession, feed: Feed, inputs: Sequence[TensorSpec], batched: bool) -> Feed:
    answers = session.outputs_of(feed)
    rows = len(feed[inputs[0].name]) if batched else None
    for name, array in answers.items():
        if rows is not None and len(array) != rows:
            raise BenchError(f"{name}: expected {rows} rows, got shape {array.shape}")
    return answers


def _columns(inputs: Sequence[TensorSpec], batched: bool) -> tuple[Column, ...]:
    first = inputs[0]
    width = first.shape[1] if len(first.shape) == 2 else None
    if len(inputs) > 1 or not batched or width is None:
        return ()
    return tuple(Column(f"x{i}", first.dtype, first.name, i) for i in range(width))


def _profile(signature: Signature, feed: Feed, answers: Feed) -> ReferenceProfile:
    if not signature.columns:
        return ReferenceProfile(1, ())
    table = feed[signature.inputs[0].name]
    features = tuple(_distribution(c.name, table[:, c.index]) for c in signature.columns)
    outputs: list[FeatureProfile] = []
    for spec in signature.outputs:
        if spec.role == "label":
            outputs.append(_categories("label", [str(c) for c in signature.classes], ()))
        elif spec.role == "probabilities":
            outputs.append(_distribution("confidence", answers[spec.name].max(axis=1)))
    return ReferenceProfile(len(table), features, tuple(outputs))


def _distribution(name: str, values: NDArray[Any]) -> FeatureProfile:
    if values.dtype.kind not in "fiu":
        return _categories(name, {category(value) for value in values.tolist()}, values)
    shares = np.linspace(0, 1, _BINS + 1)
    edges = np.unique(np.quantile(values.astype(np.float64), shares, method="inverted_cdf"))
    empty = FeatureProfile(name, (0,) * (max(1, len(edges) - 1) + 2), tuple(edges.tolist()))
    return replace(empty, counts=tuple(int(count) for count in histogram(empty, values)))


def _categories(name: str, names: Any, values: Any) -> FeatureProfile:
    empty = FeatureProfile(name, (0,) * (len(names) + 2), None, tuple(sorted(names)))
    return replace(empty, counts=tuple(int(count) for count in histogram(empty, values)))


def _storable(feed: Feed) -> Feed:
    return {n: a.astype(str) if a.dtype == object else a for n, a in feed.items()}
