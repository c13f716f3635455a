"""One model for each class, pair of classes, code bit or target, and chains of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from converters.lowering import registry
from converters.lowering.graph import DOUBLE, FLOAT, INT64, Graph
from converters.lowering.maths import (
    argmax,
    complement,
    concat,
    f32,
    nearest_point,
    normalised,
)
from converters.lowering.registry import as_float, column, labels, lowers
from converters.lowering.table import Block, Table, floats

if TYPE_CHECKING:
    from sklearn.multiclass import (
        OneVsOneClassifier,
        OneVsRestClassifier,
        OutputCodeClassifier,
    )
    from sklearn.multioutput import (
        ClassifierChain,
        MultiOutputClassifier,
        MultiOutputRegressor,
        RegressorChain,
    )


@lowers("decision_function", "OneVsRestClassifier")
def _lower_one_vs_rest_decision(estimator: OneVsRestClassifier, graph: Graph, rows: Table) -> str:
    return concat(graph, [registry.decision(inner, graph, rows) for inner in estimator.estimators_])


@lowers("predict_proba", "OneVsRestClassifier")
def _lower_one_vs_rest_probabilities(
    estimator: OneVsRestClassifier, graph: Graph, rows: Table
) -> str:
    parts = [_second_probability(inner, graph, rows) for inner in estimator.estimators_]
    if estimator.multilabel_:
        return concat(graph, parts)
    return (
        complement(graph, parts[0]) if len(parts) == 1 else normalised(graph, concat(graph, parts))
    )


def _second_probability(estimator: Any, graph: Graph, rows: Table) -> str:
    """Return the probability of the second class, [N, 1]."""
    probabilities = registry.probabilities(estimator, graph, rows)
    return graph.op("Gather", probabilities, np.array([1], np.int64), axis=1)


def _binary_score(estimator: Any, graph: Graph, rows: Table) -> tuple[str, float]:
    """Return a score [N, 1] for the second class, and the cut above which it is chosen."""
    if hasattr(estimator, "decision_function"):
        return registry.decision(estimator, graph, rows), 0.0
    return _second_probability(estimator, graph, rows), 0.5


@lowers("predict", "OneVsRestClassifier")
def _lower_one_vs_rest_labels(estimator: OneVsRestClassifier, graph: Graph, rows: Table) -> str:
    scored = [_binary_score(inner, graph, rows) for inner in estimator.estimators_]
    scores, cut = concat(graph, [score for score, _ in scored]), scored[0][1]
    if estimator.multilabel_:
        return graph.cast(graph.op("Greater", scores, cut), INT64)
    if len(scored) == 1:
        yes = registry.flat(graph, graph.op("Greater", scores, cut))
        return labels(graph, graph.cast(yes, INT64), estimator.classes_)
    # Of equal scores scikit-learn's loop over the classes leaves the last.
    best = graph.op("ArgMax", scores, axis=1, keepdims=0, select_last_index=1)
    return labels(graph, best, estimator.classes_)


@lowers("decision_function", "OneVsOneClassifier")
def _lower_one_vs_one_decision(estimator: OneVsOneClassifier, graph: Graph, rows: Table) -> str:
    """Return votes [N, classes], plus confidences below 1/3 that only break ties."""
    count = len(estimator.classes_)
    pairs = [(i, j) for i in range(count) for j in range(i + 1, count)]
    scored = [_binary_score(inner, graph, rows) for inner in estimator.estimators_]
    scores, cut = concat(graph, [score for score, _ in scored]), scored[0][1]
    # Matrices [pairs, classes] turn the pairs' scores into sums and votes of the classes.
    sign, first, second = (np.zeros((len(pairs), count), np.float32) for _ in range(3))
    for k, (i, j) in enumerate(pairs):
        sign[k, i], sign[k, j], first[k, i], second[k, j] = -1, 1, 1, 1
    sums = graph.op("MatMul", scores, sign)
    won = as_float(graph, graph.op("Greater", scores, cut))
    lost = graph.op("Sub", 1.0, won)
    votes = graph.op("Add", graph.op("MatMul", won, second), graph.op("MatMul", lost, first))
    # Confidence sums squeezed into (-1/3, 1/3), as in scikit-learn: they cannot outweigh a vote.
    size = graph.op("Mul", graph.op("Add", graph.op("Abs", sums), 1.0), 3.0)
    both = graph.op("Add", votes, graph.op("Div", sums, size))
    return graph.op("MatMul", scores, f32([[1.0]])) if count == 2 else both


@lowers("predict", "OneVsOneClassifier")
def _lower_one_vs_one_labels(estimator: OneVsOneClassifier, graph: Graph, rows: Table) -> str:
    scores = _lower_one_vs_one_decision(estimator, graph, rows)
    if len(estimator.classes_) > 2:
        return labels(graph, argmax(graph, scores), estimator.classes_)
    cut = 0.0 if hasattr(estimator.estimators_[0], "decision_function") else 0.5
    yes = registry.flat(graph, graph.op("Greater", scores, cut))
    return labels(graph, graph.cast(yes, INT64), estimator.classes_)


@lowers("predict", "OutputCodeClassifier")
def _lower_output_code(estimator: OutputCodeClassifier, graph: Graph, rows: Table) -> str:
    scores = [_binary_score(inner, graph, rows)[0] for inner in estimator.estimators_]
    x = graph.cast(concat(graph, scores), DOUBLE)
    return labels(graph, nearest_point(graph, x, estimator.code_book_), estimator.classes_)


@lowers("predict", "MultiOutputRegressor")
def _lower_multi_output_values(estimator: MultiOutputRegressor, graph: Graph, rows: Table) -> str:
    return concat(graph, [registry.predict(inner, graph, rows) for inner in estimator.estimators_])


@lowers("predict", "MultiOutputClassifier")
def _lower_multi_output_labels(estimator: MultiOutputClassifier, graph: Graph, rows: Table) -> str:
    parts = [column(graph, registry.predict(m, graph, rows)) for m in estimator.estimators_]
    return concat(graph, parts)


@lowers("predict_proba", "MultiOutputClassifier")
def _lower_multi_output_probabilities(
    estimator: MultiOutputClassifier, graph: Graph, rows: Table
) -> str:
    return concat(graph, [registry.probabilities(m, graph, rows) for m in estimator.estimators_])


def _chain(estimator: Any, graph: Graph, rows: Table, last: Any) -> str:
    """Write a chain: each model sees the rows and the answers of those before it.

    Args:
        estimator: the chain.
        graph: the graph to write into.
        rows: columns [N, features].
        last: writes the output [N, 1] of one inner model.
    """
    own = floats(graph, rows)
    earlier: list[Block] = []
    outputs: list[str] = []
    for inner in estimator.estimators_:
        inputs = Table((Block(own, FLOAT, rows.width), *earlier))
        outputs.append(last(inner, graph, inputs))
        chain = getattr(estimator, "chain_method_", "predict")
        earlier.append(Block(_chained_feature(inner, graph, inputs, chain), FLOAT, 1))
    # Models stand in the order of the chain, outputs in that of the targets.
    order = np.argsort(estimator.order_)
    return concat(graph, [outputs[i] for i in order])


def _chained_feature(estimator: Any, graph: Graph, rows: Table, method: str) -> str:
    if method == "predict_proba":
        return _second_probability(estimator, graph, rows)
    if method == "decision_function":
        return registry.decision(estimator, graph, rows)
    outputs = registry.predict(estimator, graph, rows)
    return as_float(graph, column(graph, outputs)) if hasattr(estimator, "classes_") else outputs


@lowers("predict", "RegressorChain")
def _lower_regressor_chain(estimator: RegressorChain, graph: Graph, rows: Table) -> str:
    return _chain(estimator, graph, rows, registry.predict)


@lowers("predict", "ClassifierChain")
def _lower_classifier_chain_labels(estimator: ClassifierChain, graph: Graph, rows: Table) -> str:
    def label_column(inner: Any, graph: Graph, inputs: Table) -> str:
        return column(graph, registry.predict(inner, graph, inputs))

    return _chain(estimator, graph, rows, label_column)


@lowers("predict_proba", "ClassifierChain")
def _lower_classifier_chain_probabilities(
    estimator: ClassifierChain, graph: Graph, rows: Table
) -> str:
    return _chain(estimator, graph, rows, _second_probability)
