"""Columns of categories that a library turns into codes before its trees see them.

LightGBM numbers the categories of a DataFrame in their order; scikit-learn's histogram boosting
those that are text. What has no code is missing to both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.errors import UnsupportedModel


def coded_columns(model: Any) -> Mapping[int, NDArray[Any]]:
    """Return the categories of each column that the trees of ``model`` compare by code.

    Returns:
        Categories in the order of their codes, by column; empty for models of other kinds.

    Raises:
        UnsupportedModel: the model does not say which columns they are.
    """
    kind = type(model).__name__
    if kind.startswith("LGBM"):
        return _of_lightgbm(model.booster_)
    if kind.startswith("HistGradientBoosting"):
        return _of_histogram_boosting(model)
    return {}


def _of_lightgbm(booster: Any) -> Mapping[int, NDArray[Any]]:
    declared = [
        categories for categories in booster.pandas_categorical or () if len(categories) > 1
    ]
    if not declared:
        return {}
    text = booster.model_to_string(num_iteration=1)
    line = next(line for line in text.splitlines() if line.startswith("feature_infos="))
    infos = line.removeprefix("feature_infos=").split()
    # Numbers have their range, [low:high]; categories a list, 2:0:1; what is constant has none.
    columns = [i for i, info in enumerate(infos) if info != "none" and not info.startswith("[")]
    if len(columns) != len(declared):
        raise UnsupportedModel("categories of a DataFrame, some of which no row of training has")
    return {i: _values(c) for i, c in zip(columns, declared, strict=True)}


def _of_histogram_boosting(model: Any) -> Mapping[int, NDArray[Any]]:
    if getattr(model, "_preprocessor", None) is None:
        return {}
    categories = model._preprocessor.named_transformers_["encoder"].categories_
    columns = np.flatnonzero(model.is_categorical_).tolist()
    pairs = zip(columns, categories, strict=True)
    return {i: values for i, values in pairs if values.dtype.kind not in "biuf"}


def _values(categories: list[Any]) -> NDArray[Any]:
    """Return categories as numbers if all are, else as objects."""
    if all(isinstance(value, int | float) for value in categories):
        return np.array(categories)
    values = np.empty(len(categories), dtype=object)
    values[:] = categories
    return values
