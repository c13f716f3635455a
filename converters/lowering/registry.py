"""Which function writes the ONNX form of which estimator's method.

A form is looked up by the exact class: a subclass may answer differently. ``predict``,
``predict_proba`` and ``decision_function`` give a tensor's name, ``transform`` a :class:`Table`.
What has no form here is asked of skl2onnx (:mod:`converters.lowering.skl2onnx_fallback`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from converters.errors import UnsupportedModel
from converters.lowering import skl2onnx_fallback
from converters.lowering.graph import FLOAT, INT64, Graph
from converters.lowering.table import Table

Lowering = Callable[[Any, Graph, Table], Any]
LOWERINGS: Final[dict[tuple[str, str, str], Lowering]] = {}
"""By library, class and method."""
_SOLVES: Final = "solves an optimisation problem for each row, which no ONNX operator does"
REASONS: Final[dict[str, str]] = {
    **dict.fromkeys(
        ("DictionaryLearning", "LatentDirichletAllocation", "LocallyLinearEmbedding",
         "MiniBatchDictionaryLearning", "MiniBatchNMF", "NMF", "SparseCoder"),
        _SOLVES,
    ),
    "DictVectorizer": "takes dicts; a ColumnTransformer over a DataFrame's columns takes them too",
    "FeatureHasher": "hashes names of features with MurmurHash3, which no ONNX operator does",
    "HashingVectorizer": "hashes words, which no ONNX operator does; use TfidfVectorizer",
    "PatchExtractor": "takes images, not rows of features",
    **dict.fromkeys(
        ("LabelBinarizer", "LabelEncoder", "MultiLabelBinarizer"),
        "transforms targets, not rows of features; convert the model that was fitted on them",
    ),
}  # fmt: skip
"""Why an estimator has no form, where there is more to say than that."""


def lowers(method: str, *names: str, library: str = "sklearn") -> Callable[[Lowering], Lowering]:
    """Register a function as the form of ``method`` of the classes ``names`` of a library."""

    def register(function: Lowering) -> Lowering:
        for name in names:
            LOWERINGS[library, name, method] = function
        return function

    return register


def refusal_reason(estimator: Any) -> str | None:
    """Why this estimator has no form, if that is known without trying."""
    return REASONS.get(type(estimator).__name__)


def lowering_of(estimator: Any, method: str) -> Lowering | None:
    """The registered form of a method of exactly this class."""
    kind = type(estimator)
    return LOWERINGS.get((kind.__module__.split(".")[0], kind.__name__, method))


def transform(estimator: Any, graph: Graph, rows: Table) -> Table:
    """``model.transform``.

    Raises:
        UnsupportedModel: it has no form.
    """
    _check(estimator)
    lowering = lowering_of(estimator, "transform")
    made: Table = (
        lowering(estimator, graph, rows)
        if lowering
        else skl2onnx_fallback.transform(estimator, graph, rows)
    )
    return made


def predict(estimator: Any, graph: Graph, rows: Table) -> str:
    """``model.predict``: labels [N] (int64 or string) of classifiers, else values [N, targets].

    Raises:
        UnsupportedModel: it has no form.
    """
    _check(estimator)
    lowering = lowering_of(estimator, "predict")
    if lowering:
        return str(lowering(estimator, graph, rows))
    if lowering_of(estimator, "decision_function"):
        return labels_by_score(estimator, graph, rows)
    if lowering_of(estimator, "predict_proba"):
        scores = probabilities(estimator, graph, rows)
        return labels(graph, graph.op("ArgMax", scores, axis=1, keepdims=0), estimator.classes_)
    return skl2onnx_fallback.predict(estimator, graph, rows)


def labels_by_score(estimator: Any, graph: Graph, rows: Table) -> str:
    """The label of the largest decision value; of two classes, the second if it is positive."""
    scores = decision(estimator, graph, rows)
    if len(estimator.classes_) > 2:
        index = graph.op("ArgMax", scores, axis=1, keepdims=0)
    else:
        index = graph.cast(flat(graph, graph.op("Greater", scores, 0.0)), INT64)
    return labels(graph, index, estimator.classes_)


def probabilities(estimator: Any, graph: Graph, rows: Table) -> str:
    """``model.predict_proba``, [N, classes]; raises :class:`UnsupportedModel`."""
    _check(estimator)
    lowering = lowering_of(estimator, "predict_proba")
    return (
        str(lowering(estimator, graph, rows))
        if lowering
        else skl2onnx_fallback.probabilities(estimator, graph, rows)
    )


def decision(estimator: Any, graph: Graph, rows: Table) -> str:
    """``model.decision_function``: [N, 1] for two classes, else [N, classes].

    Raises:
        UnsupportedModel: it has no form.
    """
    _check(estimator)
    lowering = lowering_of(estimator, "decision_function")
    return (
        str(lowering(estimator, graph, rows))
        if lowering
        else skl2onnx_fallback.decision(estimator, graph, rows)
    )


def labels(graph: Graph, index: str, classes: Any) -> str:
    """The labels at ``index`` [N] among ``classes``: int64 or strings."""
    known = np.asarray(classes)
    if known.dtype.kind in "OU":
        return graph.op("Gather", known.astype(object), index)
    whole = known.astype(np.int64)
    if np.array_equal(whole, np.arange(len(whole))):
        return index
    return graph.op("Gather", whole, index)


def column(graph: Graph, x: str) -> str:
    """[N] as [N, 1]."""
    return graph.op("Unsqueeze", x, np.array([1], np.int64))


def flat(graph: Graph, x: str) -> str:
    """[N, 1] as [N]."""
    return graph.op("Reshape", x, np.array([-1], np.int64))


def as_float(graph: Graph, x: str) -> str:
    """Any numbers as float32."""
    return graph.cast(x, FLOAT)


def _check(estimator: Any) -> None:
    reason = refusal_reason(estimator)
    if reason is not None:
        raise UnsupportedModel(f"{type(estimator).__name__} {reason}")
