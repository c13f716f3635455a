"""What is a matrix product with an offset, whatever it is called."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from converters.errors import UnsupportedModel
from converters.lowering.graph import INT64, ML, Graph
from converters.lowering.maths import affine, complement, normalised
from converters.lowering.registry import by_score, flat, form, labels
from converters.lowering.table import Table, floats

ONE_STEP: Final = 4_096
"""Weights up to which a logistic regression is one operator."""


@form(
    "decision_function",
    "LinearDiscriminantAnalysis",
    "LinearSVC",
    "LogisticRegression",
    "LogisticRegressionCV",
    "PassiveAggressiveClassifier",
    "Perceptron",
    "RidgeClassifier",
    "RidgeClassifierCV",
    "SGDClassifier",
)
def _decision(graph: Graph, model: Any, rows: Table) -> str:
    return affine(graph, floats(graph, rows), np.atleast_2d(model.coef_).T, model.intercept_)


@form("predict", "CCA", "PLSCanonical", "PLSRegression")
def _pls(graph: Graph, model: Any, rows: Table) -> str:
    """Centring is folded into the offset."""
    weights = np.atleast_2d(model.coef_).T
    offset = model.intercept_ - model._x_mean @ weights
    return affine(graph, floats(graph, rows), weights, offset)


@form("transform", "PLSSVD")
def _pls_svd(graph: Graph, model: Any, rows: Table) -> Table:
    weights = model.x_weights_ / model._x_std[:, None]
    return _projected(graph, rows, weights, -model._x_mean @ weights)


@form("transform", "FactorAnalysis")
def _factors(graph: Graph, model: Any, rows: Table) -> Table:
    scaled = model.components_ / model.noise_variance_
    inner = np.linalg.inv(np.eye(len(scaled)) + scaled @ model.components_.T)
    weights = scaled.T @ inner
    return _projected(graph, rows, weights, -model.mean_ @ weights)


@form("transform", "FastICA")
def _ica(graph: Graph, model: Any, rows: Table) -> Table:
    weights = model.components_.T
    mean = getattr(model, "mean_", None)
    return _projected(graph, rows, weights, None if mean is None else -mean @ weights)


@form("transform", "SparsePCA", "MiniBatchSparsePCA")
def _sparse_pca(graph: Graph, model: Any, rows: Table) -> Table:
    """Ridge regression onto the components has a closed form."""
    parts = model.components_
    gram = parts @ parts.T + model.ridge_alpha * np.eye(len(parts))
    weights = np.linalg.solve(gram, parts).T
    return _projected(graph, rows, weights, -model.mean_ @ weights)


@form("transform", "SparseRandomProjection", "GaussianRandomProjection")
def _random(graph: Graph, model: Any, rows: Table) -> Table:
    parts = model.components_
    dense = parts.toarray() if hasattr(parts, "toarray") else parts
    return _projected(graph, rows, dense.T, None)


@form("transform", "FeatureAgglomeration")
def _agglomerated(graph: Graph, model: Any, rows: Table) -> Table:
    if model.pooling_func is not np.mean:
        raise UnsupportedModel("FeatureAgglomeration: only the mean has a form as pooling_func")
    member = (model.labels_[:, None] == np.unique(model.labels_)).astype(float)
    return _projected(graph, rows, member / member.sum(axis=0), None)


@form("transform", "BernoulliRBM")
def _hidden(graph: Graph, model: Any, rows: Table) -> Table:
    x = affine(graph, floats(graph, rows), model.components_.T, model.intercept_hidden_)
    return Table.of(graph.op("Sigmoid", x), len(model.components_))


def _projected(graph: Graph, rows: Table, weights: Any, offset: Any) -> Table:
    return Table.of(affine(graph, floats(graph, rows), weights, offset), weights.shape[1])


@form("predict_proba", "LogisticRegression", "LogisticRegressionCV")
def _logistic(graph: Graph, model: Any, rows: Table) -> str:
    if _in_one_step(model):
        return _one_step(graph, model, rows)[1]
    scores = _decision(graph, model, rows)
    if len(model.classes_) == 2:
        return complement(graph, graph.op("Sigmoid", scores))
    if model.solver == "liblinear":
        return normalised(graph, graph.op("Sigmoid", scores))
    return graph.op("Softmax", scores, axis=1)


@form("predict", "LogisticRegression", "LogisticRegressionCV")
def _logistic_label(graph: Graph, model: Any, rows: Table) -> str:
    if _in_one_step(model):
        return labels(graph, _one_step(graph, model, rows)[0], model.classes_)
    return by_score(graph, model, rows)


def _in_one_step(model: Any) -> bool:
    """One operator does all of a small model: a step of its own costs more than its arithmetic.

    The weights of a large one are better a constant, which variants can store in fewer bytes.
    """
    normalised_shares = model.solver == "liblinear" and len(model.classes_) > 2
    return bool(model.coef_.size <= ONE_STEP) and not normalised_shares


def _one_step(graph: Graph, model: Any, rows: Table) -> list[str]:
    """The index of the class [N], and the probabilities [N, classes]."""
    weights, offset = np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_)
    two = len(model.classes_) == 2
    if two:
        weights, offset = np.vstack([-weights, weights]), np.concatenate([-offset, offset])
    return graph.ops(
        "LinearClassifier",
        floats(graph, rows),
        outputs=2,
        domain=ML,
        classlabels_ints=list(range(len(model.classes_))),
        coefficients=weights.ravel().tolist(),
        intercepts=np.broadcast_to(offset, len(weights)).tolist(),
        post_transform="LOGISTIC" if two else "SOFTMAX",
    )


_ACTIVATIONS: Final = {"relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid", "identity": ""}


def _network(graph: Graph, model: Any, rows: Table) -> str:
    """What comes out of the last layer: class scores, or values."""
    x, last = floats(graph, rows), len(model.coefs_) - 1
    for i, (weights, offset) in enumerate(zip(model.coefs_, model.intercepts_, strict=True)):
        x = affine(graph, x, weights, offset)
        kind = _ACTIVATIONS[model.activation] if i < last else ""
        x = graph.op(kind, x) if kind else x
    return x


@form("predict", "MLPRegressor")
def _network_value(graph: Graph, model: Any, rows: Table) -> str:
    return _network(graph, model, rows)


@form("predict_proba", "MLPClassifier")
def _network_shares(graph: Graph, model: Any, rows: Table) -> str:
    scores = _network(graph, model, rows)
    if model.out_activation_ == "softmax":
        return graph.op("Softmax", scores, axis=1)
    shares = graph.op("Sigmoid", scores)
    several = model._label_binarizer.y_type_.startswith("multilabel")
    return shares if several else complement(graph, shares)


@form("predict", "MLPClassifier")
def _network_label(graph: Graph, model: Any, rows: Table) -> str:
    shares = _network_shares(graph, model, rows)
    if model._label_binarizer.y_type_.startswith("multilabel"):
        return graph.cast(graph.op("Greater", shares, 0.5), INT64)
    if model.out_activation_ == "softmax":
        return labels(graph, graph.op("ArgMax", shares, axis=1, keepdims=0), model.classes_)
    second = graph.op("Gather", shares, np.array([1], np.int64), axis=1)
    yes = flat(graph, graph.op("Greater", second, 0.5))
    return labels(graph, graph.cast(yes, INT64), model.classes_)
