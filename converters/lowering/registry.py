"""The table of lowerings: functions that write one method of one estimator as ONNX nodes.

An estimator is looked up by its exact class, since a subclass may answer differently. What has no
lowering here is asked of skl2onnx (:mod:`converters.lowering.skl2onnx_fallback`).

Lowerings call :func:`transform`, :func:`predict`, :func:`probabilities` and :func:`decision` for
the estimators inside theirs.
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
"""Called with a fitted estimator, the graph to write into, and the columns [N, features] that the
estimator gets. Returns the :class:`Table` of ``transform``; for the other methods a tensor's name.
"""

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
"""Reasons why an estimator cannot be lowered, where there is one worth telling."""


def lowers(method: str, *names: str, library: str = "sklearn") -> Callable[[Lowering], Lowering]:
    """Register the decorated function as the lowering of a method.

    Args:
        method: ``transform``, ``predict``, ``predict_proba`` or ``decision_function``.
        names: classes whose method it lowers. Names, not the classes: a class that this version of
            the library does not have costs nothing.
        library: first part of the module in which the classes are.
    """

    def register(function: Lowering) -> Lowering:
        for name in names:
            LOWERINGS[library, name, method] = function
        return function

    return register


def refusal_reason(estimator: Any) -> str | None:
    """Return why this estimator cannot be lowered, if that is clear without trying."""
    return REASONS.get(type(estimator).__name__)


def lowering_of(estimator: Any, method: str) -> Lowering | None:
    """Return the registered lowering of a method of exactly this class."""
    kind = type(estimator)
    return LOWERINGS.get((kind.__module__.split(".")[0], kind.__name__, method))


def transform(estimator: Any, graph: Graph, rows: Table) -> Table:
    """Write ``estimator.transform``.

    Args:
        estimator: a fitted transformer.
        graph: the graph to write into.
        rows: columns [N, features] that it gets.

    Returns:
        The columns that it gives, [N, outputs].

    Raises:
        UnsupportedModel: it cannot be lowered.
    """
    _check(estimator)
    lowering = lowering_of(estimator, "transform") or skl2onnx_fallback.transform
    table: Table = lowering(estimator, graph, rows)
    return table


def predict(estimator: Any, graph: Graph, rows: Table) -> str:
    """Write ``estimator.predict``.

    Args:
        estimator: a fitted classifier, regressor, clusterer or outlier detector.
        graph: the graph to write into.
        rows: columns [N, features] that it gets.

    Returns:
        Labels [N] (int64 or string) of classifiers, else values [N, targets] (float32).

    Raises:
        UnsupportedModel: it cannot be lowered.
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
    """Write the label of the largest decision value; of two classes, the second if it is positive.

    Args:
        estimator: a fitted classifier with a ``decision_function``.
        graph: the graph to write into.
        rows: columns [N, features] that it gets.

    Returns:
        Labels [N].
    """
    scores = decision(estimator, graph, rows)
    if len(estimator.classes_) > 2:
        index = graph.op("ArgMax", scores, axis=1, keepdims=0)
    else:
        index = graph.cast(flat(graph, graph.op("Greater", scores, 0.0)), INT64)
    return labels(graph, index, estimator.classes_)


def probabilities(estimator: Any, graph: Graph, rows: Table) -> str:
    """Write ``estimator.predict_proba``.

    Args:
        estimator: a fitted classifier.
        graph: the graph to write into.
        rows: columns [N, features] that it gets.

    Returns:
        Probabilities [N, classes].

    Raises:
        UnsupportedModel: it cannot be lowered.
    """
    _check(estimator)
    lowering = lowering_of(estimator, "predict_proba") or skl2onnx_fallback.probabilities
    return str(lowering(estimator, graph, rows))


def decision(estimator: Any, graph: Graph, rows: Table) -> str:
    """Write ``estimator.decision_function``.

    Args:
        estimator: a fitted classifier or outlier detector.
        graph: the graph to write into.
        rows: columns [N, features] that it gets.

    Returns:
        Scores: [N, 1] for two classes, else [N, classes].

    Raises:
        UnsupportedModel: it cannot be lowered.
    """
    _check(estimator)
    lowering = lowering_of(estimator, "decision_function") or skl2onnx_fallback.decision
    return str(lowering(estimator, graph, rows))


def labels(graph: Graph, index: str, classes: Any) -> str:
    """Look labels up by their places.

    Args:
        graph: the graph to write into.
        index: places among ``classes``, int64 [N].
        classes: the labels, [classes].

    Returns:
        Labels [N], int64 or strings.
    """
    values = np.asarray(classes)
    if values.dtype.kind in "OU":
        return graph.op("Gather", values.astype(object), index)
    whole = values.astype(np.int64)
    if np.array_equal(whole, np.arange(len(whole))):
        return index  # the label is its place: no lookup
    return graph.op("Gather", whole, index)


def column(graph: Graph, x: str) -> str:
    """Return ``x`` [N] as [N, 1]."""
    return graph.op("Unsqueeze", x, np.array([1], np.int64))


def flat(graph: Graph, x: str) -> str:
    """Return ``x`` [N, 1] as [N]."""
    return graph.op("Reshape", x, np.array([-1], np.int64))


def as_float(graph: Graph, x: str) -> str:
    """Return numbers or booleans as float32."""
    return graph.cast(x, FLOAT)


def _check(estimator: Any) -> None:
    reason = refusal_reason(estimator)
    if reason is not None:
        raise UnsupportedModel(f"{type(estimator).__name__} {reason}")
