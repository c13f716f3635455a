"""Models of LightGBM, from what its booster dumps.

Its rules (``src/io/tree.h``): a missing value is zero unless the feature was trained with missing
values; with ``zero_as_missing`` zeros are missing; categories are cut to whole numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from converters.errors import UnsupportedModel
from converters.trees import floats
from converters.trees.builder import EnsembleBuilder
from converters.trees.library_tree import on_target
from converters.trees.nested import Fork, flatten
from converters.trees.tree_model import Link, TreeModel, base_of

ZERO: Final = float(np.float32(1e-35))
"""Numbers no further from zero than this are zero to LightGBM (``kZeroThreshold``)."""

_LINKS: Final[dict[str, Link]] = {
    "binary": "sigmoid",
    "multiclass": "softmax",
    "multiclassova": "sigmoid",
    "cross_entropy": "sigmoid",
    "poisson": "exp",
    "gamma": "exp",
    "tweedie": "exp",
    **dict.fromkeys(
        ("regression", "regression_l1", "huber", "fair", "quantile", "mape"), "identity"
    ),
}


def lightgbm(model: Any, rounding: floats.Rounding = floats.at_most) -> TreeModel:
    """Read LGBMClassifier and LGBMRegressor, which compare in float64.

    Args:
        model: fitted.
        rounding: of thresholds.
    """
    dump = model.booster_.dump_model()
    objective, *words = str(dump.get("objective") or "custom").split()
    if objective not in _LINKS or "sqrt" in words:
        raise UnsupportedModel(f"the objective {' '.join([objective, *words])!r}")
    trees = [tree["tree_structure"] for tree in dump["tree_info"]]
    per_round = int(dump["num_tree_per_iteration"])
    share = per_round / len(trees) if dump.get("average_output") and trees else 1.0
    dtype = rounding(np.zeros(1)).dtype
    builder, reader = EnsembleBuilder(int(dump["max_feature_idx"]) + 1, dtype), _SplitReader()
    for i, tree in enumerate(trees):
        parsed = flatten(tree, reader.read, rounding)
        values = on_target(parsed.values[:, 0] * share, i % per_round, per_round)
        builder.add(replace(parsed, values=values))
    sigmoid = next((float(w.split(":")[1]) for w in words if w.startswith("sigmoid:")), 1.0)
    return TreeModel(
        builder.ensemble(),
        base_of(0, per_round),
        scale=sigmoid,
        link=_LINKS[objective],
        classes=len(model.classes_) if hasattr(model, "predict_proba") else 0,
        absent=(-ZERO, ZERO) if reader.zeros else None,
        whole=tuple(sorted(reader.categories)),
        rounding="trunc",
    )


class _SplitReader:
    """Reads nodes, and notes which columns are categories and if zeros count as missing."""

    def __init__(self) -> None:
        self.zeros = False
        self.categories: set[int] = set()

    def read(self, node: dict[str, Any]) -> Fork | Sequence[float]:
        """Return the split of a node of the dump, or the values of a leaf."""
        if "split_feature" not in node:
            if node.get("leaf_features"):
                raise UnsupportedModel("linear_tree: leaves that compute; train without it")
            return [float(node["leaf_value"])]
        feature, sides = int(node["split_feature"]), (node["left_child"], node["right_child"])
        if node["decision_type"] == "==":
            self.categories.add(feature)
            members = tuple(float(c) for c in str(node["threshold"]).split("||"))
            return Fork(feature, 0.0, False, *sides, members)
        threshold, kind = _clear_of_zero(float(node["threshold"])), node["missing_type"]
        self.zeros |= kind == "Zero"
        # Without missing values in training NaN is read as 0.
        missing_left = threshold >= 0 if kind == "None" else bool(node["default_left"])
        return Fork(feature, threshold, missing_left, *sides)


def _clear_of_zero(threshold: float) -> float:
    """Return the threshold, moved away from zero if numbers around it count as zero.

    All of [-ZERO, ZERO] goes the way of 0, so a threshold inside would cut it.
    """
    if -ZERO <= threshold < 0:
        return -ZERO * (1 + 1e-9)
    return ZERO if 0 <= threshold < ZERO else threshold
