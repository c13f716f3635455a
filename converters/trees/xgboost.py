"""Models of XGBoost, from what its booster saves as JSON.

Its rules (``include/xgboost/tree_model.h``): ``x < threshold`` in float32 goes left; a set of
categories goes right; what is missing goes the way that the node says, in sets too.
"""

from __future__ import annotations

import json
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from converters.errors import UnsupportedModel
from converters.trees import floats
from converters.trees.builder import EnsembleBuilder
from converters.trees.library_tree import Tree, on_target
from converters.trees.tree_model import Link, TreeModel

_LINKS: Final[dict[str, Link]] = {
    "binary:logistic": "sigmoid",
    "reg:logistic": "sigmoid",
    "multi:softprob": "softmax",
    "multi:softmax": "softmax",
    **dict.fromkeys(("count:poisson", "reg:gamma", "reg:tweedie"), "exp"),
    **dict.fromkeys(
        (
            "reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror",
            "reg:squaredlogerror", "reg:quantileerror",
        ),
        "identity",
    ),
}  # fmt: skip


def xgboost(model: Any) -> TreeModel:
    """Read XGBClassifier and XGBRegressor, their forests, and dart; gblinear: :func:`linear`."""
    learner = learner_of(model)
    booster = learner["gradient_booster"]
    drops = booster.get("weight_drop")
    saved = booster.get("gbtree", booster)["model"]
    targets = targets_of(learner)
    builder, whole = EnsembleBuilder(int(learner["learner_model_param"]["num_feature"])), set()
    rounds = saved["iteration_indptr"]
    for i, tree in enumerate(saved["trees"][: rounds[_rounds(model, len(rounds) - 1)]]):
        weight = 1.0 if drops is None else float(drops[i])
        builder.add(_tree(tree, weight, saved["tree_info"][i], targets))
        whole |= {tree["split_indices"][node] for node in tree["categories_nodes"]}
    absent = getattr(model, "missing", np.nan)
    return TreeModel(
        builder.ensemble(),
        base_margin(learner),
        link=link_of(learner),
        classes=len(model.classes_) if hasattr(model, "predict_proba") else 0,
        absent=None if absent is None or np.isnan(absent) else (float(absent), float(absent)),
        whole=tuple(sorted(whole)),
    )


def learner_of(model: Any) -> dict[str, Any]:
    """Return the part of the booster's JSON that describes the model."""
    saved: dict[str, Any] = json.loads(bytes(model.get_booster().save_raw("json")))["learner"]
    return saved


def is_linear(model: Any) -> bool:
    """Return True if the booster has weights and no trees."""
    return bool(learner_of(model)["gradient_booster"]["name"] == "gblinear")


def linear(model: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return weights [features, targets] and base values [targets] of a gblinear booster."""
    learner = learner_of(model)
    count = targets_of(learner)
    weights = np.array(learner["gradient_booster"]["model"]["weights"], np.float32)
    table = weights.reshape(-1, count)
    return table[:-1], table[-1] + base_margin(learner).astype(np.float32)


def targets_of(learner: dict[str, Any]) -> int:
    """Return the number of sums that a booster makes."""
    parameters = learner["learner_model_param"]
    return max(int(parameters["num_class"]), int(parameters["num_target"]), 1)


def link_of(learner: dict[str, Any]) -> Link:
    """Return the link of a booster's objective.

    Raises:
        UnsupportedModel: an objective that is not in the table.
    """
    objective = learner["objective"]["name"]
    if objective not in _LINKS:
        raise UnsupportedModel(f"the objective {objective!r}")
    return _LINKS[objective]


def base_margin(learner: dict[str, Any]) -> NDArray[np.float64]:
    """Return the base score before the link, [targets]."""
    text = str(learner["learner_model_param"]["base_score"]).strip("[]")
    score = np.array([float(part) for part in text.split(",")])
    link = link_of(learner)
    if link == "sigmoid":  # XGBoost saves it after the link
        score = np.log(score) - np.log1p(-score)
    elif link == "exp":
        score = np.log(score)
    return np.broadcast_to(score.astype(np.float32), (targets_of(learner),)).astype(np.float64)


def _rounds(model: Any, trained: int) -> int:
    """Return the number of rounds that answer: with early stopping those up to the best."""
    try:
        return min(int(model.best_iteration) + 1, trained)
    except AttributeError:
        return trained


def _tree(tree: dict[str, Any], weight: float, target: int, targets: int) -> Tree:
    if int(tree["tree_param"]["size_leaf_vector"]) > 1:
        raise UnsupportedModel("multi_strategy='multi_output_tree'; use one_output_per_tree")
    left, right = np.array(tree["left_children"]), np.array(tree["right_children"])
    inner = left >= 0
    place = np.where(inner, np.cumsum(inner) - 1, ~(np.cumsum(~inner) - 1))
    conditions = np.array(tree["split_conditions"], np.float32)
    default = np.array(tree["default_left"])[inner].astype(bool)
    sets = {int(place[node]): chosen for node, chosen in _sets(tree).items()}
    turned = np.isin(np.arange(inner.sum()), list(sets))  # a set's members go left here
    lefts, rights = place[left[inner]], place[right[inner]]
    return Tree(
        np.array(tree["split_indices"])[inner],
        floats.below(conditions[inner]),
        default ^ turned,
        np.where(turned, rights, lefts),
        np.where(turned, lefts, rights),
        on_target(conditions[~inner].astype(np.float64) * weight, target, targets),
        int(place[0]),
        sets,
    )


def _sets(tree: dict[str, Any]) -> dict[int, tuple[float, ...]]:
    """Return the categories of each node that has a set of them."""
    values = tree["categories"]
    parts = zip(tree["categories_nodes"], tree["categories_segments"], tree["categories_sizes"],
                strict=True)  # fmt: skip
    return {node: tuple(map(float, values[at : at + size])) for node, at, size in parts}
