"""The table of tree models and their readers: add a library's class here.

Classes are found by name: nothing is imported that the model has not imported itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from converters.trees import floats
from converters.trees.boosting import adaboost, gradient_boosting, histogram_boosting
from converters.trees.catboost import catboost
from converters.trees.forests import forest
from converters.trees.isolation import isolation_forest
from converters.trees.lightgbm import lightgbm
from converters.trees.tree_model import TreeModel
from converters.trees.xgboost import xgboost

Reader = Callable[[Any], TreeModel]

READERS: Final[dict[tuple[str, str], Reader]] = {
    ("sklearn", "DecisionTreeClassifier"): forest,
    ("sklearn", "DecisionTreeRegressor"): forest,
    ("sklearn", "ExtraTreeClassifier"): forest,
    ("sklearn", "ExtraTreeRegressor"): forest,
    ("sklearn", "RandomForestClassifier"): forest,
    ("sklearn", "RandomForestRegressor"): forest,
    ("sklearn", "ExtraTreesClassifier"): forest,
    ("sklearn", "ExtraTreesRegressor"): forest,
    ("sklearn", "GradientBoostingClassifier"): gradient_boosting,
    ("sklearn", "GradientBoostingRegressor"): gradient_boosting,
    ("sklearn", "HistGradientBoostingClassifier"): histogram_boosting,
    ("sklearn", "HistGradientBoostingRegressor"): histogram_boosting,
    ("sklearn", "AdaBoostClassifier"): adaboost,
    ("sklearn", "IsolationForest"): isolation_forest,
    ("lightgbm", "LGBMClassifier"): lightgbm,
    ("lightgbm", "LGBMRegressor"): lightgbm,
    ("xgboost", "XGBClassifier"): xgboost,
    ("xgboost", "XGBRegressor"): xgboost,
    ("xgboost", "XGBRFClassifier"): xgboost,
    ("xgboost", "XGBRFRegressor"): xgboost,
    ("catboost", "CatBoostClassifier"): catboost,
    ("catboost", "CatBoostRegressor"): catboost,
}
"""By the library's and the class's name."""


def reader_of(kind: type) -> Reader | None:
    """Return the reader of models of this class, if they are tree models."""
    return READERS.get((kind.__module__.split(".")[0], kind.__name__))


def is_tree_model(model: Any) -> bool:
    """Return True if :func:`read` reads the model."""
    return reader_of(type(model)) is not None


IN_FLOAT64: Final = (histogram_boosting, lightgbm)
"""Readers of models that compare in float64; the others round rows and thresholds to float32."""


def compares_float64(model: Any) -> bool:
    """Return True if the model compares its rows in float64."""
    return reader_of(type(model)) in IN_FLOAT64


def read(model: Any, rounding: floats.Rounding = floats.at_most) -> TreeModel:
    """Return a fitted model as trees and a link.

    Args:
        model: of a class in :data:`READERS`.
        rounding: of the thresholds of models that compare in float64.

    Raises:
        UnsupportedModel: it has something that :class:`TreeModel` cannot express.
    """
    reader = reader_of(type(model))
    if reader is None:
        raise TypeError(f"{type(model).__name__} is no model of trees")
    return partial(reader, rounding=rounding)(model) if reader in IN_FLOAT64 else reader(model)
