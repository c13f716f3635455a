"""Models that compare distances: clusters, centroids, neighbours within a radius, outliers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from converters.errors import UnsupportedModel
from converters.lowering.graph import BOOL, DOUBLE, INT64, Graph
from converters.lowering.maths import (
    AXIS_1,
    distances,
    doubles,
    f64,
    nearest,
    nearest_point,
    single,
    total,
)
from converters.lowering.registry import Lowering, labels, lowers
from converters.lowering.table import Table, outcome

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator
    from sklearn.cluster import Birch, BisectingKMeans, KMeans, MiniBatchKMeans
    from sklearn.covariance import EllipticEnvelope
    from sklearn.neighbors import (
        LocalOutlierFactor,
        NearestCentroid,
        RadiusNeighborsClassifier,
        RadiusNeighborsRegressor,
        RadiusNeighborsTransformer,
    )


@lowers("predict", "AffinityPropagation", "KMeans", "MeanShift", "MiniBatchKMeans")
def _lower_nearest_centre(estimator: BaseEstimator, graph: Graph, rows: Table) -> str:
    return nearest_point(graph, doubles(graph, rows), estimator.cluster_centers_)


@lowers("transform", "KMeans", "MiniBatchKMeans")
def _lower_centre_distances(
    estimator: KMeans | MiniBatchKMeans, graph: Graph, rows: Table
) -> Table:
    distance = distances(graph, doubles(graph, rows), estimator.cluster_centers_, "euclidean")
    return outcome(graph, rows, distance, len(estimator.cluster_centers_))


@lowers("predict", "Birch")
def _lower_birch(estimator: Birch, graph: Graph, rows: Table) -> str:
    index = nearest_point(graph, doubles(graph, rows), estimator.subcluster_centers_)
    return graph.op("Gather", estimator.subcluster_labels_.astype(np.int64), index)


@lowers("predict", "BisectingKMeans")
def _lower_bisecting_k_means(estimator: BisectingKMeans, graph: Graph, rows: Table) -> str:
    x = graph.op("Sub", doubles(graph, rows), f64(getattr(estimator, "_X_mean", 0.0)))
    return _descend(graph, x, estimator._bisecting_tree)


def _descend(graph: Graph, x: str, node: Any) -> str:
    """Return the label [N] of the leaf that is reached by going to the nearer child each time.

    Both sides are computed for all rows: ONNX has no cheaper way to branch by row.
    """
    if node.left is None:
        zero = graph.op("Mul", nearest(graph, x), 0)  # one for each row, whatever the batch
        return graph.op("Add", zero, int(node.label))
    children = np.stack([node.left.center, node.right.center])
    right = graph.cast(nearest_point(graph, x, children), BOOL)
    return graph.op("Where", right, _descend(graph, x, node.right), _descend(graph, x, node.left))


def _discriminant_scores(estimator: Any, graph: Graph, rows: Table) -> str:
    """Return discriminant scores [N, classes].

    Source: T. Hastie, R. Tibshirani, J. Friedman, "The Elements of Statistical Learning", 2009,
    equation 18.2.
    """
    spread = np.where(estimator.within_class_std_dev_ != 0, estimator.within_class_std_dev_, 1.0)
    x = graph.op("Div", doubles(graph, rows), f64(spread)[None])
    distance = distances(graph, x, estimator.centroids_ / spread, estimator.metric)
    prior = 2.0 * np.log(f64(estimator.class_prior_))
    return graph.op("Sub", prior[None], graph.op("Mul", distance, distance))


@lowers("predict", "NearestCentroid")
def _lower_nearest_centroid_labels(estimator: NearestCentroid, graph: Graph, rows: Table) -> str:
    # With equal priors scikit-learn takes the nearest centroid, without scaling by the spread.
    if np.isclose(estimator.class_prior_, 1 / len(estimator.classes_)).all():
        distance = distances(graph, doubles(graph, rows), estimator.centroids_, estimator.metric)
        return labels(graph, nearest(graph, distance), estimator.classes_)
    scores = _discriminant_scores(estimator, graph, rows)
    return labels(graph, graph.op("ArgMax", scores, axis=1, keepdims=0), estimator.classes_)


@lowers("decision_function", "NearestCentroid")
def _lower_nearest_centroid_decision(estimator: NearestCentroid, graph: Graph, rows: Table) -> str:
    scores = single(graph, _discriminant_scores(estimator, graph, rows))
    if len(estimator.classes_) > 2:
        return scores
    first, second = graph.ops("Split", scores, outputs=2, axis=1, num_outputs=2)
    return graph.op("Sub", second, first)


@lowers("predict_proba", "NearestCentroid")
def _lower_nearest_centroid_probabilities(
    estimator: NearestCentroid, graph: Graph, rows: Table
) -> str:
    return single(graph, graph.op("Softmax", _discriminant_scores(estimator, graph, rows), axis=1))


def _radius_neighbours(estimator: Any, graph: Graph, rows: Table) -> tuple[str, str]:
    """Return distances [N, M] in float64, and where they are within the radius."""
    metric = (
        "euclidean" if estimator.effective_metric_ == "minkowski" else estimator.effective_metric_
    )
    if estimator.effective_metric_ == "minkowski" and estimator.p not in (1, 2):
        raise UnsupportedModel(f"{type(estimator).__name__}: only p=1 and p=2 can be converted")
    distance = distances(graph, doubles(graph, rows), estimator._fit_X, metric)
    return distance, graph.op("LessOrEqual", distance, f64(estimator.radius))


def _uniform_weights(estimator: Any, graph: Graph, distance: str, inside: str) -> str:
    if estimator.weights not in ("uniform", None):
        raise UnsupportedModel(f"{type(estimator).__name__}: only uniform weights can be converted")
    return graph.cast(inside, DOUBLE)


@lowers("predict", "RadiusNeighborsRegressor")
def _lower_radius_regressor(estimator: RadiusNeighborsRegressor, graph: Graph, rows: Table) -> str:
    """Average the neighbours; without any the result is NaN, as in scikit-learn."""
    weights = _uniform_weights(estimator, graph, *_radius_neighbours(estimator, graph, rows))
    targets = f64(estimator._y).reshape(len(estimator._fit_X), -1)
    return single(
        graph, graph.op("Div", graph.op("MatMul", weights, targets), total(graph, weights))
    )


@lowers("predict_proba", "RadiusNeighborsClassifier")
def _lower_radius_classifier(
    estimator: RadiusNeighborsClassifier, graph: Graph, rows: Table
) -> str:
    """Return shares of the classes among the neighbours; NaN without any (scikit-learn raises)."""
    if estimator.outlier_label is not None:
        raise UnsupportedModel("RadiusNeighborsClassifier: outlier_label cannot be converted")
    weights = _uniform_weights(estimator, graph, *_radius_neighbours(estimator, graph, rows))
    member = f64(np.asarray(estimator._y)[:, None] == np.arange(len(estimator.classes_)))
    sums = graph.op("MatMul", weights, member)
    return single(graph, graph.op("Div", sums, total(graph, sums)))


@lowers("transform", "RadiusNeighborsTransformer")
def _lower_radius_transformer(
    estimator: RadiusNeighborsTransformer, graph: Graph, rows: Table
) -> Table:
    distance, inside = _radius_neighbours(estimator, graph, rows)
    values = distance if estimator.mode == "distance" else f64(1.0)
    masked = graph.op("Where", inside, values, f64(0.0))
    return outcome(graph, rows, masked, len(estimator._fit_X))


def _local_outlier_score(estimator: Any, graph: Graph, rows: Table) -> str:
    """Compare the density here with that around the neighbours, less the threshold: [N, 1].

    Source: M. Breunig, H.-P. Kriegel, R. Ng, J. Sander, "LOF: Identifying Density-Based Local
    Outliers", 2000.
    """
    if not estimator.novelty or estimator.effective_metric_ not in (
        "euclidean",
        "manhattan",
        "chebyshev",
    ):
        raise UnsupportedModel(
            "LocalOutlierFactor: only novelty=True and common metrics can be converted"
        )
    count = estimator.n_neighbors_
    distance = distances(graph, doubles(graph, rows), estimator._fit_X, estimator.effective_metric_)
    near, index = graph.ops(
        "TopK", distance, np.array([count], np.int64), outputs=2, axis=1, largest=0
    )
    reach = graph.op("Gather", f64(estimator._distances_fit_X_[:, count - 1]), index)
    # Reachability: never nearer than the neighbour's own k-th neighbour is to it.
    mean = graph.op("ReduceMean", graph.op("Max", near, reach), AXIS_1, keepdims=1)
    around = graph.op(
        "ReduceMean", graph.op("Gather", f64(estimator._lrd), index), AXIS_1, keepdims=1
    )
    # 1e-10 as in scikit-learn: duplicates have a reach of 0.
    ratio = graph.op("Mul", around, graph.op("Add", mean, f64(1e-10)))
    return graph.op("Sub", f64(-estimator.offset_), ratio)


@lowers("predict", "EllipticEnvelope", "LocalOutlierFactor")
def _lower_outlier_labels(
    estimator: EllipticEnvelope | LocalOutlierFactor, graph: Graph, rows: Table
) -> str:
    score = _SCORES[type(estimator).__name__](estimator, graph, rows)
    inside = graph.op("GreaterOrEqual", score, f64(0.0))
    signs = graph.op("Where", inside, 1, -1)
    return graph.op("Reshape", graph.cast(signs, INT64), np.array([-1], np.int64))


@lowers("decision_function", "EllipticEnvelope", "LocalOutlierFactor")
def _lower_outlier_decision(
    estimator: EllipticEnvelope | LocalOutlierFactor, graph: Graph, rows: Table
) -> str:
    return single(graph, _SCORES[type(estimator).__name__](estimator, graph, rows))


def _envelope_score(estimator: Any, graph: Graph, rows: Table) -> str:
    """Return minus the squared Mahalanobis distance, less the threshold: [N, 1]."""
    x = graph.op("Sub", doubles(graph, rows), f64(estimator.location_)[None])
    spread = graph.op("MatMul", x, f64(estimator.get_precision()))
    distance = graph.op("ReduceSum", graph.op("Mul", spread, x), AXIS_1, keepdims=1)
    return graph.op("Sub", f64(-estimator.offset_), distance)


_SCORES: Final[dict[str, Lowering]] = {
    "EllipticEnvelope": _envelope_score,
    "LocalOutlierFactor": _local_outlier_score,
}
