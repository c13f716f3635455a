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
    """Read GradientBoostingClassifier and GradientBoostingRegressor."""
    width, targets = int(model.n_features_in_), model.estimators_.shape[1]
    if model.init_ != "zero" and not type(model.init_).__name__.startswith("Dummy"):
        raise UnsupportedModel(
            f"begins with the predictions of {type(model.init_).__name__}; only constants can be "
            "converted"
        )
    builder = EnsembleBuilder(width)
    for stage in model.estimators_:
        for target, tree in enumerate(stage):
            values = model.learning_rate * tree.tree_.value[:, 0, 0]
            builder.add(sklearn_tree(tree.tree_, on_target(values, target, targets)))
    base = model._raw_predict_init(np.zeros((1, width), np.float32))
    return _linked(model, builder.ensemble(), base)


def histogram_boosting(model: Any, rounding: floats.Rounding = floats.at_most) -> TreeModel:
    """Read HistGradientBoostingClassifier and -Regressor, categories included.

    Args:
        model: fitted; it compares in float64.
        rounding: of thresholds.
    """
    columns = _columns(model)
    builder = EnsembleBuilder(int(model.n_features_in_), rounding(np.zeros(1)).dtype)
    targets = int(model.n_trees_per_iteration_)
    for stage in model._predictors:
        for target, predictor in enumerate(stage):
            builder.add(_histogram_tree(predictor, columns, target, targets, rounding))
    return _linked(model, builder.ensemble(), model._baseline_prediction)


Columns = list[tuple[int, NDArray[np.float64] | None]]
"""By the number that the trees give a feature: its column, and the values of its codes if any."""


def _columns(model: Any) -> Columns:
    """Return the columns; features of categories come first, as codes into their sorted values."""
    width = int(model.n_features_in_)
    if getattr(model, "_preprocessor", None) is None:
        return [(column, None) for column in range(width)]
    coded = np.asarray(model.is_categorical_)
    categories = model._preprocessor.named_transformers_["encoder"].categories_
    # Text is told from text by its code: see converters.trees.categories.
    numbers = [
        values.astype(np.float64) if values.dtype.kind in "biuf" else np.arange(float(len(values)))
        for values in categories
    ]
    first = zip(np.flatnonzero(coded).tolist(), numbers, strict=True)
    return [*first, *((column, None) for column in np.flatnonzero(~coded).tolist())]


def _histogram_tree(
    predictor: Any, columns: Columns, target: int, targets: int, rounding: floats.Rounding
) -> Tree:
    nodes = predictor.nodes
    leaf = nodes["is_leaf"].astype(bool)
    # The library numbers nodes and leaves together; here each kind has numbers of its own.
    place = np.where(~leaf, np.cumsum(~leaf) - 1, ~(np.cumsum(leaf) - 1))
    inner = nodes[~leaf]
    left, right = place[inner["left"]], place[inner["right"]]
    members: dict[int, Members] = {}
    for node in np.flatnonzero(inner["is_categorical"]).tolist():
        row = inner[node]
        bits = predictor.raw_left_cat_bitsets[row["bitset_idx"]]
        goes_left, others = _members(bits, columns[row["feature_idx"]][1])
        members[node] = goes_left
        # A category that training did not have goes where missing values go. Here what is in no
        # set goes right: so the set is of the others, and the sides are exchanged.
        if row["missing_go_to_left"]:
            members[node] = others
            left[node], right[node] = right[node], left[node]
    missing = inner["missing_go_to_left"].astype(bool) & (inner["is_categorical"] == 0)
    return Tree(
        np.array([columns[f][0] for f in inner["feature_idx"]], np.int64),
        rounding(inner["num_threshold"]),
        missing,
        left,
        right,
        on_target(nodes["value"][leaf], target, targets),
        int(place[0]),
        members,
    )


def _members(bits: Any, values: Any) -> tuple[Members, Members]:
    """Return values of codes whose bit is set, and of the others.

    Values that no float32 equals are left out: no row can have them.
    """
    sides: tuple[list[float], list[float]] = ([], [])
    for code, value in enumerate(values.tolist()):
        if np.float32(value) == value:
            # 32 codes a word, the lowest bit first.
            is_set = bool(bits[code // 32] >> np.uint32(code % 32) & np.uint32(1))
            sides[not is_set].append(value)
    return tuple(sides[0]), tuple(sides[1])


def adaboost(model: Any) -> TreeModel:
    """Read AdaBoostClassifier over trees: each tree adds its weight to the class that it names."""
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
    """Return what the leaves of a tree add, [leaves, targets].

    Of two classes it goes to the second; of more, to the named one. Every tree
    of those also subtracts a constant from all classes; that is the base.
    """
    if classes == 2:
        return np.where(named == 1, 2 * weight, -2 * weight)[:, None].astype(np.float64)
    return np.eye(classes)[named] * (weight * classes / (classes - 1) ** 2)
