"""Boosted trees of scikit-learn: gradient boosting, by histograms too, and AdaBoost."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from converters.errors import UnsupportedModel
from converters.trees import floats
from converters.trees.builder import EnsembleBuilder, Members
from converters.trees.ensemble import Ensemble
from converters.trees.library_tree import Tree, on_target, sklearn_tree
from converters.trees.tree_model import Link, TreeModel, base_of

_LOSSES: Final[dict[str, tuple[Link, float]]] = {
    "HalfBinomialLoss": ("sigmoid", 1.0),
    "ExponentialLoss": ("sigmoid", 2.0),
    "HalfMultinomialLoss": ("softmax", 1.0),
    "HalfPoissonLoss": ("exp", 1.0),
    "HalfGammaLoss": ("exp", 1.0),
}
"""Link and scale of the losses whose answers are not the sums themselves."""


def _linked(model: Any, ensemble: Ensemble, base: Any) -> TreeModel:
    link, scale = _LOSSES.get(type(model._loss).__name__, ("identity", 1.0))
    classes = len(model.classes_) if hasattr(model, "classes_") else 0
    return TreeModel(ensemble, base_of(base, ensemble.targets), False, scale, link, classes)


def gradient_boosting(model: Any) -> TreeModel:
    """GradientBoostingClassifier and GradientBoostingRegressor."""
    width, targets = int(model.n_features_in_), model.estimators_.shape[1]
    if model.init_ != "zero" and not type(model.init_).__name__.startswith("Dummy"):
        raise UnsupportedModel(
            f"begins with what {type(model.init_).__name__} says; only constants can be said"
        )
    builder = EnsembleBuilder(width)
    for stage in model.estimators_:
        for target, tree in enumerate(stage):
            values = model.learning_rate * tree.tree_.value[:, 0, 0]
            builder.add(sklearn_tree(tree.tree_, on_target(values, target, targets)))
    base = model._raw_predict_init(np.zeros((1, width), np.float32))
    return _linked(model, builder.ensemble(), base)


def histogram_boosting(model: Any) -> TreeModel:
    """HistGradientBoostingClassifier and HistGradientBoostingRegressor, categories included."""
    columns = _columns(model)
    builder = EnsembleBuilder(int(model.n_features_in_))
    targets = int(model.n_trees_per_iteration_)
    for stage in model._predictors:
        for target, predictor in enumerate(stage):
            builder.add(_histogram_tree(predictor, columns, target, targets))
    return _linked(model, builder.ensemble(), model._baseline_prediction)


Columns = list[tuple[int, NDArray[np.float64] | None]]
"""What the trees call a feature: its column, and the values that its codes stand for."""


def _columns(model: Any) -> Columns:
    """Categories come first, as codes: places in the sorted values of their columns."""
    width = int(model.n_features_in_)
    if getattr(model, "_preprocessor", None) is None:
        return [(column, None) for column in range(width)]
    coded = np.asarray(model.is_categorical_)
    known = model._preprocessor.named_transformers_["encoder"].categories_
    if any(values.dtype.kind not in "biuf" for values in known):
        raise UnsupportedModel("categories that are text; put an OrdinalEncoder before it")
    first = zip(np.flatnonzero(coded).tolist(), [v.astype(np.float64) for v in known], strict=True)
    return [*first, *((column, None) for column in np.flatnonzero(~coded).tolist())]


def _histogram_tree(predictor: Any, columns: Columns, target: int, targets: int) -> Tree:
    nodes = predictor.nodes
    leaf = nodes["is_leaf"].astype(bool)
    place = np.where(~leaf, np.cumsum(~leaf) - 1, ~(np.cumsum(leaf) - 1))
    inner = nodes[~leaf]
    left, right = place[inner["left"]], place[inner["right"]]
    members: dict[int, Members] = {}
    for node in np.flatnonzero(inner["is_categorical"]).tolist():
        row = inner[node]
        bits = predictor.raw_left_cat_bitsets[row["bitset_idx"]]
        goes_left, others = _members(bits, columns[row["feature_idx"]][1])
        members[node] = goes_left
        if row["missing_go_to_left"]:  # unknown categories go where missing values go
            members[node] = others
            left[node], right[node] = right[node], left[node]
    missing = inner["missing_go_to_left"].astype(bool) & (inner["is_categorical"] == 0)
    return Tree(
        np.array([columns[f][0] for f in inner["feature_idx"]], np.int64),
        floats.at_most(inner["num_threshold"]),
        missing,
        left,
        right,
        on_target(nodes["value"][leaf], target, targets),
        int(place[0]),
        members,
    )


def _members(bits: Any, known: Any) -> tuple[Members, Members]:
    """Values of codes whose bit is set, and of the others; without those that no float32 equals."""
    sides: tuple[list[float], list[float]] = ([], [])
    for code, value in enumerate(known.tolist()):
        if np.float32(value) == value:
            is_set = bool(bits[code // 32] >> np.uint32(code % 32) & np.uint32(1))
            sides[not is_set].append(value)
    return tuple(sides[0]), tuple(sides[1])


def adaboost(model: Any) -> TreeModel:
    """AdaBoostClassifier over trees: each tree adds its weight to the class that it names."""
    classes = len(model.classes_)
    odd = {type(tree).__name__ for tree in model.estimators_ if not hasattr(tree, "tree_")}
    if odd:
        raise UnsupportedModel(f"boosts {', '.join(sorted(odd))}, not trees")
    weights = model.estimator_weights_[: len(model.estimators_)] / model.estimator_weights_.sum()
    builder = EnsembleBuilder(int(model.n_features_in_))
    for tree, weight in zip(model.estimators_, weights.tolist(), strict=True):
        named = np.searchsorted(model.classes_, tree.classes_)[
            tree.tree_.value[:, 0].argmax(axis=1)
        ]
        builder.add(sklearn_tree(tree.tree_, _votes(named, weight, classes)))
    ensemble = builder.ensemble()
    if classes == 2:
        return TreeModel(ensemble, base_of(0, 1), link="sigmoid", classes=2)
    base = base_of(-1 / (classes - 1) ** 2, classes)
    return TreeModel(ensemble, base, link="softmax", classes=classes)


def _votes(named: NDArray[np.int64], weight: float, classes: int) -> NDArray[np.float64]:
    """What a tree adds: of two classes, to the second; of more, to the named one.

    The trees of more classes subtract the same from all classes; that is the base.
    """
    if classes == 2:
        return np.where(named == 1, 2 * weight, -2 * weight)[:, None].astype(np.float64)
    return np.eye(classes)[named] * (weight * classes / (classes - 1) ** 2)
