"""Linear models, projections and multilayer perceptrons: matrix products with an offset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from converters.errors import UnsupportedModel
from converters.lowering import skl2onnx_fallback
from converters.lowering.graph import FLOAT, INT64, ML, Graph
from converters.lowering.maths import (
    affine,
    complement,
    concat,
    doubles,
    exact_scores,
    f64,
    normalised,
    single,
    total,
)
from converters.lowering.registry import flat, labels, labels_by_score, lowers
from converters.lowering.table import Table, floats, outcome

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator
    from sklearn.cluster import FeatureAgglomeration
    from sklearn.cross_decomposition import CCA, PLSSVD, PLSCanonical, PLSRegression
    from sklearn.decomposition import FactorAnalysis, FastICA, MiniBatchSparsePCA, SparsePCA
    from sklearn.discriminant_analysis import (
        LinearDiscriminantAnalysis,
        QuadraticDiscriminantAnalysis,
    )
    from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
    from sklearn.neural_network import BernoulliRBM, MLPClassifier, MLPRegressor
    from sklearn.random_projection import GaussianRandomProjection, SparseRandomProjection

ONE_OPERATOR: Final = 4_096
"""Weights up to which a logistic regression is one operator."""


@lowers(
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
def _lower_linear_decision(estimator: BaseEstimator, graph: Graph, rows: Table) -> str:
    return _scores(graph, rows, np.atleast_2d(estimator.coef_).T, estimator.intercept_)


def _scores(graph: Graph, rows: Table, weights: Any, offset: Any) -> str:
    """Return ``rows @ weights + offset`` as float32, computed in float64 where it must be exact."""
    if not graph.faithful:
        return affine(graph, floats(graph, rows), weights, offset)
    return graph.cast(exact_scores(graph, rows, weights, offset), FLOAT)


@lowers(
    "predict",
    "ARDRegression",
    "BayesianRidge",
    "ElasticNet",
    "ElasticNetCV",
    "HuberRegressor",
    "Lars",
    "LarsCV",
    "Lasso",
    "LassoCV",
    "LassoLars",
    "LassoLarsCV",
    "LassoLarsIC",
    "LinearRegression",
    "LinearSVR",
    "OrthogonalMatchingPursuit",
    "OrthogonalMatchingPursuitCV",
    "PassiveAggressiveRegressor",
    "Ridge",
    "RidgeCV",
    "SGDRegressor",
    "TheilSenRegressor",
)
def _lower_linear_values(estimator: BaseEstimator, graph: Graph, rows: Table) -> str:
    if not graph.faithful or not rows.numeric:
        return skl2onnx_fallback.predict(estimator, graph, rows)
    return _scores(graph, rows, np.atleast_2d(estimator.coef_).T, estimator.intercept_)


@lowers("predict", "CCA", "PLSCanonical", "PLSRegression")
def _lower_pls(estimator: CCA | PLSCanonical | PLSRegression, graph: Graph, rows: Table) -> str:
    """Write the regression; centring is folded into the offset."""
    weights = np.atleast_2d(estimator.coef_).T
    offset = estimator.intercept_ - estimator._x_mean @ weights
    return _scores(graph, rows, weights, offset)


@lowers("transform", "PLSSVD")
def _lower_pls_svd(estimator: PLSSVD, graph: Graph, rows: Table) -> Table:
    weights = estimator.x_weights_ / estimator._x_std[:, None]
    return _project(graph, rows, weights, -estimator._x_mean @ weights)


@lowers("transform", "FactorAnalysis")
def _lower_factor_analysis(estimator: FactorAnalysis, graph: Graph, rows: Table) -> Table:
    scaled = estimator.components_ / estimator.noise_variance_
    inner = np.linalg.inv(np.eye(len(scaled)) + scaled @ estimator.components_.T)
    weights = scaled.T @ inner
    return _project(graph, rows, weights, -estimator.mean_ @ weights)


@lowers("transform", "FastICA")
def _lower_fast_ica(estimator: FastICA, graph: Graph, rows: Table) -> Table:
    weights = estimator.components_.T
    mean = getattr(estimator, "mean_", None)
    return _project(graph, rows, weights, None if mean is None else -mean @ weights)


@lowers("transform", "SparsePCA", "MiniBatchSparsePCA")
def _lower_sparse_pca(
    estimator: SparsePCA | MiniBatchSparsePCA, graph: Graph, rows: Table
) -> Table:
    """Write ridge regression onto the components, which has a closed form."""
    parts = estimator.components_
    gram = parts @ parts.T + estimator.ridge_alpha * np.eye(len(parts))
    weights = np.linalg.solve(gram, parts).T
    return _project(graph, rows, weights, -estimator.mean_ @ weights)


@lowers("transform", "SparseRandomProjection", "GaussianRandomProjection")
def _lower_random_projection(
    estimator: SparseRandomProjection | GaussianRandomProjection, graph: Graph, rows: Table
) -> Table:
    parts = estimator.components_
    dense = parts.toarray() if hasattr(parts, "toarray") else parts
    return _project(graph, rows, dense.T, None)


@lowers("transform", "FeatureAgglomeration")
def _lower_feature_agglomeration(
    estimator: FeatureAgglomeration, graph: Graph, rows: Table
) -> Table:
    if estimator.pooling_func is not np.mean:
        raise UnsupportedModel(
            "FeatureAgglomeration: only the mean can be converted as pooling_func"
        )
    member = (estimator.labels_[:, None] == np.unique(estimator.labels_)).astype(float)
    return _project(graph, rows, member / member.sum(axis=0), None)


@lowers("transform", "BernoulliRBM")
def _lower_bernoulli_rbm(estimator: BernoulliRBM, graph: Graph, rows: Table) -> Table:
    x = affine(graph, floats(graph, rows), estimator.components_.T, estimator.intercept_hidden_)
    return Table.of(graph.op("Sigmoid", x), len(estimator.components_))


def _project(graph: Graph, rows: Table, weights: Any, offset: Any) -> Table:
    if graph.faithful:
        return outcome(graph, rows, exact_scores(graph, rows, weights, offset), weights.shape[1])
    return Table.of(affine(graph, floats(graph, rows), weights, offset), weights.shape[1])


@lowers("predict_proba", "LinearDiscriminantAnalysis")
def _lower_discriminant_probabilities(
    estimator: LinearDiscriminantAnalysis, graph: Graph, rows: Table
) -> str:
    return _distribution(graph, _lower_linear_decision(estimator, graph, rows), estimator)


def _distribution(
    graph: Graph,
    scores: str,
    estimator: LinearDiscriminantAnalysis | LogisticRegression | LogisticRegressionCV,
) -> str:
    """Return probabilities of all classes together: of two classes there is one score."""
    if len(estimator.classes_) == 2:
        return complement(graph, graph.op("Sigmoid", scores))
    return graph.op("Softmax", scores, axis=1)


@lowers("predict_proba", "LogisticRegression", "LogisticRegressionCV")
def _lower_logistic_probabilities(
    estimator: LogisticRegression | LogisticRegressionCV, graph: Graph, rows: Table
) -> str:
    if _fits_one_operator(estimator, graph):
        return _linear_classifier(estimator, graph, rows)[1]
    scores = _lower_linear_decision(estimator, graph, rows)
    if estimator.solver == "liblinear" and len(estimator.classes_) > 2:
        # Trained one class against the rest, not as a softmax.
        return normalised(graph, graph.op("Sigmoid", scores))
    return _distribution(graph, scores, estimator)


@lowers("predict", "LogisticRegression", "LogisticRegressionCV")
def _lower_logistic_labels(
    estimator: LogisticRegression | LogisticRegressionCV, graph: Graph, rows: Table
) -> str:
    if _fits_one_operator(estimator, graph):
        return labels(graph, _linear_classifier(estimator, graph, rows)[0], estimator.classes_)
    return labels_by_score(estimator, graph, rows)


def _fits_one_operator(estimator: Any, graph: Graph) -> bool:
    """Return True if one operator should do all of the model.

    In a small model a node of its own costs more than its arithmetic.

    The weights of a large one are better a constant, which variants can store in fewer bytes.
    """
    one_against_rest = estimator.solver == "liblinear" and len(estimator.classes_) > 2
    small = bool(estimator.coef_.size <= ONE_OPERATOR)
    return small and not one_against_rest and not graph.faithful


def _linear_classifier(estimator: Any, graph: Graph, rows: Table) -> list[str]:
    """Return the index of the class [N], and the probabilities [N, classes]."""
    weights, offset = np.atleast_2d(estimator.coef_), np.atleast_1d(estimator.intercept_)
    two = len(estimator.classes_) == 2
    if two:  # the operator wants a row of weights a class
        weights, offset = np.vstack([-weights, weights]), np.concatenate([-offset, offset])
    return graph.ops(
        "LinearClassifier",
        floats(graph, rows),
        outputs=2,
        domain=ML,
        classlabels_ints=list(range(len(estimator.classes_))),
        coefficients=weights.ravel().tolist(),
        intercepts=np.broadcast_to(offset, len(weights)).tolist(),
        post_transform="LOGISTIC" if two else "SOFTMAX",
    )


_ACTIVATIONS: Final = {"relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid", "identity": ""}


def _mlp_output(estimator: Any, graph: Graph, rows: Table) -> str:
    """Return the output of the last layer: class scores, or values, [N, outputs]."""
    x, last = floats(graph, rows), len(estimator.coefs_) - 1
    for i, (weights, offset) in enumerate(
        zip(estimator.coefs_, estimator.intercepts_, strict=True)
    ):
        x = affine(graph, x, weights, offset)
        kind = _ACTIVATIONS[estimator.activation] if i < last else ""
        x = graph.op(kind, x) if kind else x
    return x


@lowers("predict", "MLPRegressor")
def _lower_mlp_values(estimator: MLPRegressor, graph: Graph, rows: Table) -> str:
    return _mlp_output(estimator, graph, rows)


@lowers("predict_proba", "MLPClassifier")
def _lower_mlp_probabilities(estimator: MLPClassifier, graph: Graph, rows: Table) -> str:
    scores = _mlp_output(estimator, graph, rows)
    if estimator.out_activation_ == "softmax":
        return graph.op("Softmax", scores, axis=1)
    probabilities = graph.op("Sigmoid", scores)
    multilabel = estimator._label_binarizer.y_type_.startswith("multilabel")
    return probabilities if multilabel else complement(graph, probabilities)


@lowers("predict", "MLPClassifier")
def _lower_mlp_labels(estimator: MLPClassifier, graph: Graph, rows: Table) -> str:
    probabilities = _lower_mlp_probabilities(estimator, graph, rows)
    if estimator._label_binarizer.y_type_.startswith("multilabel"):
        return graph.cast(graph.op("Greater", probabilities, 0.5), INT64)
    if estimator.out_activation_ == "softmax":
        return labels(
            graph, graph.op("ArgMax", probabilities, axis=1, keepdims=0), estimator.classes_
        )
    # More than a half, not the larger one: at exactly 0.5 scikit-learn names the first class.
    second = graph.op("Gather", probabilities, np.array([1], np.int64), axis=1)
    yes = flat(graph, graph.op("Greater", second, 0.5))
    return labels(graph, graph.cast(yes, INT64), estimator.classes_)


def _log_posteriors(estimator: Any, graph: Graph, rows: Table) -> str:
    """Return the log posteriors of a quadratic discriminant up to a constant: [N, classes]."""
    x = doubles(graph, rows)
    parts = []
    for mean, rotation, scaling in zip(
        estimator.means_, estimator.rotations_, estimator.scalings_, strict=True
    ):
        centred = graph.op("Sub", x, f64(mean)[None])
        turned = graph.op("MatMul", centred, np.ascontiguousarray(rotation * scaling**-0.5))
        norm = total(graph, graph.op("Mul", turned, turned))
        parts.append(graph.op("Add", norm, f64(np.log(scaling).sum())))
    halved = graph.op("Mul", concat(graph, parts), f64(-0.5))
    return graph.op("Add", halved, np.log(f64(estimator.priors_))[None])


@lowers("decision_function", "QuadraticDiscriminantAnalysis")
def _lower_quadratic_decision(
    estimator: QuadraticDiscriminantAnalysis, graph: Graph, rows: Table
) -> str:
    scores = _log_posteriors(estimator, graph, rows)
    if len(estimator.classes_) > 2:
        return single(graph, scores)
    first, second = graph.ops("Split", scores, outputs=2, axis=1, num_outputs=2)
    return single(graph, graph.op("Sub", second, first))


@lowers("predict_proba", "QuadraticDiscriminantAnalysis")
def _lower_quadratic_probabilities(
    estimator: QuadraticDiscriminantAnalysis, graph: Graph, rows: Table
) -> str:
    return single(graph, graph.op("Softmax", _log_posteriors(estimator, graph, rows), axis=1))
