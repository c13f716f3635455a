"""Boosters of LightGBM and XGBoost that were trained without scikit-learn's interface.

Each is put into the library's own scikit-learn class, which answers what the booster answers, with
labels beside the probabilities of a classifier: 0, 1, and so on.
"""

from __future__ import annotations

import json
from typing import Any, Final

import numpy as np

from converters.errors import ConversionError

_CLASSIFIES: Final = ("binary", "multiclass", "multiclassova")
"""Objectives of LightGBM whose answers are probabilities of classes."""


def is_booster(model: Any) -> bool:
    """Return True for a ``lightgbm.Booster`` or an ``xgboost.Booster``."""
    kind = type(model)
    return kind.__name__ == "Booster" and kind.__module__.split(".")[0] in ("lightgbm", "xgboost")


def as_estimator(booster: Any) -> Any:
    """Return a fitted estimator that answers as ``booster`` does.

    Raises:
        ConversionError: the booster ranks, or has been trained on nothing.
    """
    library = type(booster).__module__.split(".")[0]
    return _of_lightgbm(booster) if library == "lightgbm" else _of_xgboost(booster)


def _of_lightgbm(booster: Any) -> Any:
    import lightgbm
    from sklearn.preprocessing import LabelEncoder

    dump = booster.dump_model(num_iteration=1)
    objective = str(dump.get("objective") or "custom").split()[0]
    if objective in ("lambdarank", "rank_xendcg"):
        raise ConversionError(f"model: a LightGBM booster that ranks ({objective}) has no release")
    classifies = objective in _CLASSIFIES
    model = (lightgbm.LGBMClassifier if classifies else lightgbm.LGBMRegressor)()
    model._Booster = booster
    model._objective = objective
    model._n_features = model._n_features_in = booster.num_feature()
    model.fitted_ = True
    if classifies:
        model._n_classes = max(2, int(dump["num_class"]))
        model._classes = np.arange(model._n_classes)
        model._le = LabelEncoder().fit(model._classes)
    return model


def _of_xgboost(booster: Any) -> Any:
    import xgboost

    learner = json.loads(booster.save_config())["learner"]
    objective = learner["learner_train_param"]["objective"]
    if objective.startswith("rank:"):
        raise ConversionError(f"model: an XGBoost booster that ranks ({objective}) has no release")
    classifies = objective in ("binary:logistic", "multi:softprob", "multi:softmax")
    model = (xgboost.XGBClassifier if classifies else xgboost.XGBRegressor)()
    model.load_model(booster.save_raw("ubj"))
    return model
