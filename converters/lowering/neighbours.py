"""Models that ask which point is nearest: clusters, centroids, neighbours within a radius."""

from __future__ import annotations

from typing import Any, Final

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
from converters.lowering.registry import Form, form, labels
from converters.lowering.table import Table


@form("predict", "AffinityPropagation", "KMeans", "MeanShift", "MiniBatchKMeans")
def _nearest_centre(graph: Graph, model: Any, rows: Table) -> str:
    return nearest_point(graph, doubles(graph, rows), model.cluster_centers_)


@form("transform", "KMeans", "MiniBatchKMeans")
def _to_centres(graph: Graph, model: Any, rows: Table) -> Table:
    far = distances(graph, doubles(graph, rows), model.cluster_centers_, "euclidean")
    return Table.of(single(graph, far), len(model.cluster_centers_))


@form("predict", "Birch")
def _birch(graph: Graph, model: Any, rows: Table) -> str:
    index = nearest_point(graph, doubles(graph, rows), model.subcluster_centers_)
    return graph.op("Gather", model.subcluster_labels_.astype(np.int64), index)


@form("predict", "BisectingKMeans")
def _bisecting(graph: Graph, model: Any, rows: Table) -> str:
    x = graph.op("Sub", doubles(graph, rows), f64(getattr(model, "_X_mean", 0.0)))
    return _descend(graph, x, model._bisecting_tree)


def _descend(graph: Graph, x: str, node: Any) -> str:
    """The label of the leaf that is reached by going to the nearer child each time."""
    if node.left is None:
        zero = graph.op("Mul", nearest(graph, x), 0)  # of the batch's length
        return graph.op("Add", zero, int(node.label))
    children = np.stack([node.left.center, node.right.center])
    right = graph.cast(nearest_point(graph, x, children), BOOL)
    return graph.op("Where", right, _descend(graph, x, node.right), _descend(graph, x, node.left))


def _scaled_centroids(graph: Graph, model: Any, rows: Table) -> str:
    """Discriminant scores, equation 18.2 of Hastie, Tibshirani, Friedman, 2009."""
    spread = np.where(model.within_class_std_dev_ != 0, model.within_class_std_dev_, 1.0)
    x = graph.op("Div", doubles(graph, rows), f64(spread)[None])
    far = distances(graph, x, model.centroids_ / spread, model.metric)
    prior = 2.0 * np.log(f64(model.class_prior_))
    return graph.op("Sub", prior[None], graph.op("Mul", far, far))


@form("predict", "NearestCentroid")
def _centroid(graph: Graph, model: Any, rows: Table) -> str:
    if np.isclose(model.class_prior_, 1 / len(model.classes_)).all():
        far = distances(graph, doubles(graph, rows), model.centroids_, model.metric)
        return labels(graph, nearest(graph, far), model.classes_)
    scores = _scaled_centroids(graph, model, rows)
    return labels(graph, graph.op("ArgMax", scores, axis=1, keepdims=0), model.classes_)


@form("decision_function", "NearestCentroid")
def _centroid_scores(graph: Graph, model: Any, rows: Table) -> str:
    scores = single(graph, _scaled_centroids(graph, model, rows))
    if len(model.classes_) > 2:
        return scores
    first, second = graph.ops("Split", scores, outputs=2, axis=1, num_outputs=2)
    return graph.op("Sub", second, first)


@form("predict_proba", "NearestCentroid")
def _centroid_shares(graph: Graph, model: Any, rows: Table) -> str:
    return single(graph, graph.op("Softmax", _scaled_centroids(graph, model, rows), axis=1))


def _within(graph: Graph, model: Any, rows: Table) -> tuple[str, str]:
    """Distances [N, M] in float64, and where they are within the radius."""
    metric = "euclidean" if model.effective_metric_ == "minkowski" else model.effective_metric_
    if model.effective_metric_ == "minkowski" and model.p not in (1, 2):
        raise UnsupportedModel(f"{type(model).__name__}: only p=1 and p=2 have a form")
    far = distances(graph, doubles(graph, rows), model._fit_X, metric)
    return far, graph.op("LessOrEqual", far, f64(model.radius))


def _weights(graph: Graph, model: Any, far: str, inside: str) -> str:
    if model.weights not in ("uniform", None):
        raise UnsupportedModel(f"{type(model).__name__}: only uniform weights have a form")
    return graph.cast(inside, DOUBLE)


@form("predict", "RadiusNeighborsRegressor")
def _radius_value(graph: Graph, model: Any, rows: Table) -> str:
    """Without neighbours the mean of none is NaN, as in scikit-learn."""
    weights = _weights(graph, model, *_within(graph, model, rows))
    known = f64(model._y).reshape(len(model._fit_X), -1)
    return single(graph, graph.op("Div", graph.op("MatMul", weights, known), total(graph, weights)))


@form("predict_proba", "RadiusNeighborsClassifier")
def _radius_shares(graph: Graph, model: Any, rows: Table) -> str:
    """Without neighbours, where scikit-learn raises, shares are NaN."""
    if model.outlier_label is not None:
        raise UnsupportedModel("RadiusNeighborsClassifier: outlier_label has no form")
    weights = _weights(graph, model, *_within(graph, model, rows))
    member = f64(np.asarray(model._y)[:, None] == np.arange(len(model.classes_)))
    sums = graph.op("MatMul", weights, member)
    return single(graph, graph.op("Div", sums, total(graph, sums)))


@form("transform", "RadiusNeighborsTransformer")
def _radius_graph(graph: Graph, model: Any, rows: Table) -> Table:
    far, inside = _within(graph, model, rows)
    kept = far if model.mode == "distance" else f64(1.0)
    made = graph.op("Where", inside, kept, f64(0.0))
    return Table.of(single(graph, made), len(model._fit_X))


def _crowded(graph: Graph, model: Any, rows: Table) -> str:
    """How dense it is here compared with where the neighbours are, less the threshold.

    Source: M. Breunig, H.-P. Kriegel, R. Ng, J. Sander, "LOF: Identifying Density-Based Local
    Outliers", 2000.
    """
    if not model.novelty or model.effective_metric_ not in ("euclidean", "manhattan", "chebyshev"):
        raise UnsupportedModel(
            "LocalOutlierFactor: only novelty=True and common metrics have a form"
        )
    count = model.n_neighbors_
    far = distances(graph, doubles(graph, rows), model._fit_X, model.effective_metric_)
    near, index = graph.ops("TopK", far, np.array([count], np.int64), outputs=2, axis=1, largest=0)
    reach = graph.op("Gather", f64(model._distances_fit_X_[:, count - 1]), index)
    mean = graph.op("ReduceMean", graph.op("Max", near, reach), AXIS_1, keepdims=1)
    around = graph.op("ReduceMean", graph.op("Gather", f64(model._lrd), index), AXIS_1, keepdims=1)
    ratio = graph.op("Mul", around, graph.op("Add", mean, f64(1e-10)))
    return graph.op("Sub", f64(-model.offset_), ratio)


@form("predict", "EllipticEnvelope", "LocalOutlierFactor")
def _outlier(graph: Graph, model: Any, rows: Table) -> str:
    score = _SCORES[type(model).__name__](graph, model, rows)
    inside = graph.op("GreaterOrEqual", score, f64(0.0))
    signs = graph.op("Where", inside, 1, -1)
    return graph.op("Reshape", graph.cast(signs, INT64), np.array([-1], np.int64))


@form("decision_function", "EllipticEnvelope", "LocalOutlierFactor")
def _outlier_value(graph: Graph, model: Any, rows: Table) -> str:
    return single(graph, _SCORES[type(model).__name__](graph, model, rows))


def _envelope_score(graph: Graph, model: Any, rows: Table) -> str:
    """Minus the squared Mahalanobis distance, less the threshold."""
    x = graph.op("Sub", doubles(graph, rows), f64(model.location_)[None])
    spread = graph.op("MatMul", x, f64(model.get_precision()))
    far = graph.op("ReduceSum", graph.op("Mul", spread, x), AXIS_1, keepdims=1)
    return graph.op("Sub", f64(-model.offset_), far)


_SCORES: Final[dict[str, Form]] = {
    "EllipticEnvelope": _envelope_score,
    "LocalOutlierFactor": _crowded,
}
