"""Models of CatBoost over numbers, from what it saves as JSON.

Its rule: ``x > border`` in float32 goes right. A missing value is less than every border, or more,
as the feature says.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from converters.errors import UnsupportedModel
from converters.trees import floats
from converters.trees.builder import EnsembleBuilder
from converters.trees.library_tree import Tree
from converters.trees.nested import Fork, flatten
from converters.trees.tree_model import Link, TreeModel, base_of

_LINKS: Final[dict[str, Link]] = {
    "Logloss": "sigmoid",
    "CrossEntropy": "sigmoid",
    "MultiClass": "softmax",
    "MultiClassOneVsAll": "sigmoid",
    **dict.fromkeys(("Poisson", "Tweedie"), "exp"),
    **dict.fromkeys(
        ("RMSE", "MAE", "Quantile", "MAPE", "Huber", "Expectile", "LogLinQuantile", "Lq",
         "MultiRMSE"),
        "identity",
    ),
}  # fmt: skip


def catboost(model: Any) -> TreeModel:
    """Read CatBoostClassifier and CatBoostRegressor without features of categories or text."""
    saved = _saved(model)
    features = saved["features_info"]
    others = sorted(set(features) - {"float_features"})
    if others:
        raise UnsupportedModel(f"{', '.join(others)}; encode them as numbers before it")
    loss = _loss(model)
    columns = _Columns(features["float_features"])
    scale, bias = saved["scale_and_bias"]
    builder = EnsembleBuilder(max(f["flat_feature_index"] for f in features["float_features"]) + 1)
    for tree in _trees(saved, columns, scale):
        builder.add(tree)
    ensemble = builder.ensemble()
    classes = len(model.classes_) if hasattr(model, "predict_proba") else 0
    base = base_of(bias, ensemble.targets)
    return TreeModel(ensemble, base, link=_LINKS[loss], classes=classes)


def _saved(model: Any) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        model.save_model(str(path), format="json")
        saved: dict[str, Any] = json.loads(path.read_text())
    return saved


def _loss(model: Any) -> str:
    loss = str(model.get_all_params()["loss_function"]).split(":")[0]
    if loss not in _LINKS:
        raise UnsupportedModel(f"the loss {loss!r}")
    return loss


class _Columns:
    """Columns and the side of missing values, by the number of a feature."""

    def __init__(self, features: Sequence[dict[str, Any]]) -> None:
        self.of = {
            f["feature_index"]: (f["flat_feature_index"], f["nan_value_treatment"] != "AsTrue")
            for f in features
        }

    def split(self, split: dict[str, Any]) -> tuple[int, float, bool]:
        """Return column, border, and whether a missing value goes left."""
        column, missing_left = self.of[split["float_feature_index"]]
        return column, float(split["border"]), missing_left


def _trees(saved: dict[str, Any], columns: _Columns, scale: float) -> list[Tree]:
    if "oblivious_trees" in saved:
        return [_symmetric(tree, columns, scale) for tree in saved["oblivious_trees"]]

    def look(node: dict[str, Any]) -> Fork | Sequence[float]:
        if "split" in node:
            return Fork(*columns.split(node["split"]), node["left"], node["right"])
        return list(np.atleast_1d(node["value"]) * scale)

    return [flatten(tree, look) for tree in saved["trees"]]


def _symmetric(tree: dict[str, Any], columns: _Columns, scale: float) -> Tree:
    """Return a symmetric tree: all nodes of one depth have the same split.

    Its first split is the lowest bit of a leaf's number, so it is the deepest one here.
    """
    splits = [columns.split(split) for split in reversed(tree.get("splits") or [])]
    depth = len(splits)
    count = 2**depth
    level = np.repeat(np.arange(depth), 2 ** np.arange(depth))
    nodes = np.arange(count - 1)
    left, right = 2 * nodes + 1, 2 * nodes + 2  # a heap; from count - 1 on they are leaves
    features, borders, missing = [np.array(column) for column in zip(*splits, strict=True)] or [
        np.zeros(0)
    ] * 3
    return Tree(
        features[level].astype(np.int64),
        floats.at_most(borders[level]),
        missing[level].astype(bool),
        np.where(left < count - 1, left, ~(left - (count - 1))),
        np.where(right < count - 1, right, ~(right - (count - 1))),
        np.array(tree["leaf_values"]).reshape(count, -1) * scale,
        0 if depth else ~0,
    )
