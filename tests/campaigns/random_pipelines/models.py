"""Estimators that are drawn, by their task, and models made of several of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn import (
    calibration,
    cluster,
    covariance,
    discriminant_analysis,
    ensemble,
    gaussian_process,
    linear_model,
    mixture,
    multiclass,
    multioutput,
    naive_bayes,
    neighbors,
    neural_network,
    preprocessing,
    svm,
    tree,
)
from sklearn.compose import TransformedTargetRegressor
from sklearn.model_selection import GridSearchCV

from tests.campaigns.random_pipelines.steps import R, one
from tests.campaigns.random_pipelines.tables import Table

CLASSES = ("two", "rare", "two texts", "three", "three texts")
TASKS = (*CLASSES, *CLASSES, *["value"] * 8, "values", "labels", "cluster", "outlier", "transform")
TEXT_FREE = ("XGBClassifier", "Bagging of XGBoost")

Make = Callable[[R], Any]


def _xgb(kind: str, random: R, **more: Any) -> Any:
    import xgboost

    return getattr(xgboost, kind)(
        n_estimators=20, max_depth=int(random.integers(2, 7)), n_jobs=1, **more
    )


def _lgbm(kind: str, random: R, **more: Any) -> Any:
    import lightgbm

    return getattr(lightgbm, kind)(
        n_estimators=20,
        num_leaves=int(random.integers(4, 16)),
        min_child_samples=5,
        verbose=-1,
        n_jobs=1,
        **more,
    )


def _cat(kind: str, random: R) -> Any:
    import catboost

    return getattr(catboost, kind)(
        iterations=15,
        depth=int(random.integers(2, 6)),
        verbose=0,
        thread_count=1,
        allow_writing_files=False,
    )


CLASSIFIERS: Mapping[str, Make] = {
    "LogisticRegression": lambda r: linear_model.LogisticRegression(
        max_iter=300, C=one(r, 0.1, 1.0, 50.0)
    ),
    "RidgeClassifier": lambda r: linear_model.RidgeClassifier(),
    "SGDClassifier": lambda r: linear_model.SGDClassifier(
        loss=one(r, "hinge", "log_loss", "modified_huber"), random_state=0
    ),
    "LinearSVC": lambda r: svm.LinearSVC(random_state=0),
    "SVC": lambda r: svm.SVC(
        kernel=one(r, "rbf", "poly", "linear"), probability=one(r, False, True), random_state=0
    ),
    "GaussianNB": lambda r: naive_bayes.GaussianNB(),
    "KNeighborsClassifier": lambda r: neighbors.KNeighborsClassifier(
        int(r.integers(1, 7)), weights=one(r, "uniform", "distance"), p=one(r, 2, 1)
    ),
    "LDA": lambda r: discriminant_analysis.LinearDiscriminantAnalysis(),
    "QDA": lambda r: discriminant_analysis.QuadraticDiscriminantAnalysis(reg_param=0.1),
    "MLPClassifier": lambda r: neural_network.MLPClassifier(
        (8,), activation=one(r, "relu", "tanh", "logistic"), max_iter=60, random_state=0
    ),
    "DecisionTreeClassifier": lambda r: tree.DecisionTreeClassifier(
        max_depth=one(r, 3, 6, None), random_state=0
    ),
    "RandomForestClassifier": lambda r: ensemble.RandomForestClassifier(
        12, max_depth=one(r, 4, None), random_state=0
    ),
    "ExtraTreesClassifier": lambda r: ensemble.ExtraTreesClassifier(12, random_state=0),
    "GradientBoostingClassifier": lambda r: ensemble.GradientBoostingClassifier(
        n_estimators=12, random_state=0
    ),
    "HistGradientBoostingClassifier": lambda r: ensemble.HistGradientBoostingClassifier(
        max_iter=15, min_samples_leaf=5, random_state=0
    ),
    "AdaBoostClassifier": lambda r: ensemble.AdaBoostClassifier(n_estimators=8, random_state=0),
    "XGBClassifier": lambda r: _xgb("XGBClassifier", r),
    "LGBMClassifier": lambda r: _lgbm("LGBMClassifier", r),
    "CatBoostClassifier": lambda r: _cat("CatBoostClassifier", r),
}
REGRESSORS: Mapping[str, Make] = {
    "Ridge": lambda r: linear_model.Ridge(),
    "LinearRegression": lambda r: linear_model.LinearRegression(),
    "ElasticNet": lambda r: linear_model.ElasticNet(0.01),
    "HuberRegressor": lambda r: linear_model.HuberRegressor(max_iter=500),
    "BayesianRidge": lambda r: linear_model.BayesianRidge(),
    "SVR": lambda r: svm.SVR(epsilon=one(r, 0.1, 5.0)),
    "LinearSVR": lambda r: svm.LinearSVR(random_state=0),
    "KernelRidge": lambda r: _kernel_ridge(),
    "KNeighborsRegressor": lambda r: neighbors.KNeighborsRegressor(
        int(r.integers(1, 7)), weights=one(r, "uniform", "distance")
    ),
    "GaussianProcessRegressor": lambda r: gaussian_process.GaussianProcessRegressor(alpha=0.5),
    "MLPRegressor": lambda r: neural_network.MLPRegressor((8,), max_iter=80, random_state=0),
    "DecisionTreeRegressor": lambda r: tree.DecisionTreeRegressor(
        max_depth=one(r, 3, 6, None), random_state=0
    ),
    "RandomForestRegressor": lambda r: ensemble.RandomForestRegressor(12, random_state=0),
    "ExtraTreesRegressor": lambda r: ensemble.ExtraTreesRegressor(12, random_state=0),
    "GradientBoostingRegressor": lambda r: ensemble.GradientBoostingRegressor(
        n_estimators=15, random_state=0
    ),
    "HistGradientBoostingRegressor": lambda r: ensemble.HistGradientBoostingRegressor(
        max_iter=15, min_samples_leaf=5, random_state=0
    ),
    "AdaBoostRegressor": lambda r: ensemble.AdaBoostRegressor(n_estimators=6, random_state=0),
    "XGBRegressor": lambda r: _xgb("XGBRegressor", r),
    "LGBMRegressor": lambda r: _lgbm("LGBMRegressor", r),
    "CatBoostRegressor": lambda r: _cat("CatBoostRegressor", r),
}
CLUSTERERS: Mapping[str, Make] = {
    "KMeans": lambda r: cluster.KMeans(3, n_init=2, random_state=0),
    "MiniBatchKMeans": lambda r: cluster.MiniBatchKMeans(3, n_init=2, random_state=0),
    "GaussianMixture": lambda r: mixture.GaussianMixture(
        2, covariance_type=one(r, "full", "diag", "tied"), random_state=0
    ),
    "Birch": lambda r: cluster.Birch(n_clusters=3),
}
OUTLIERS: Mapping[str, Make] = {
    "IsolationForest": lambda r: ensemble.IsolationForest(n_estimators=20, random_state=0),
    "OneClassSVM": lambda r: svm.OneClassSVM(nu=0.1),
    "LocalOutlierFactor": lambda r: neighbors.LocalOutlierFactor(5, novelty=True),
    "EllipticEnvelope": lambda r: covariance.EllipticEnvelope(random_state=0),
}
HOLE_PROOF = (
    "HistGradientBoostingClassifier",
    "HistGradientBoostingRegressor",
    "XGBClassifier",
    "XGBRegressor",
    "LGBMClassifier",
    "LGBMRegressor",
    "CatBoostClassifier",
    "CatBoostRegressor",
    "RandomForestClassifier",
    "RandomForestRegressor",
)


def _kernel_ridge() -> Any:
    from sklearn.kernel_ridge import KernelRidge

    return KernelRidge(kernel="rbf", gamma=0.1)


def draw_model(random: R, task: str) -> tuple[str, Any]:
    """Return a name and an unfitted model of this task; ``transform`` has none."""
    if task == "transform":
        return "none", None
    if task in ("cluster", "outlier"):
        pool = CLUSTERERS if task == "cluster" else OUTLIERS
        name = one(random, *pool)
        return name, pool[name](random)
    if task == "values":
        name = one(random, *REGRESSORS)
        return f"MultiOutput {name}", multioutput.MultiOutputRegressor(REGRESSORS[name](random))
    if task == "labels":
        name = one(
            random, "LogisticRegression", "DecisionTreeClassifier", "GaussianNB", "LGBMClassifier"
        )
        wrap = one(random, multioutput.MultiOutputClassifier, multiclass.OneVsRestClassifier)
        return f"{wrap.__name__} {name}", wrap(CLASSIFIERS[name](random))
    pool = REGRESSORS if task == "value" else CLASSIFIERS
    plain = [n for n in pool if not (task != "two" and task != "rare" and n in TEXT_FREE)]
    name = one(random, *plain)
    if random.random() < 0.65:
        return name, pool[name](random)
    wrap = _wrapped_regressor if task == "value" else _wrapped_classifier
    return wrap(random, name, pool[name](random))


def _wrapped_classifier(random: R, name: str, model: Any) -> tuple[str, Any]:
    kind = one(
        random,
        "calibrated",
        "one against rest",
        "one against one",
        "voting",
        "stacking",
        "bagging",
        "search",
        "hard voting",
    )
    second = one(random, "LogisticRegression", "GaussianNB", "RandomForestClassifier")
    pair = [("a", model), ("b", CLASSIFIERS[second](random))]
    made = {
        "calibrated": lambda: calibration.CalibratedClassifierCV(
            model, method=one(random, "sigmoid", "isotonic"), cv=3
        ),
        "one against rest": lambda: multiclass.OneVsRestClassifier(model),
        "one against one": lambda: multiclass.OneVsOneClassifier(model),
        "voting": lambda: ensemble.VotingClassifier(pair, voting="soft"),
        "hard voting": lambda: ensemble.VotingClassifier(pair, voting="hard"),
        "stacking": lambda: ensemble.StackingClassifier(pair, cv=3),
        "bagging": lambda: ensemble.BaggingClassifier(
            model, 3, max_features=one(random, 1.0, 0.8), random_state=0
        ),
        "search": lambda: GridSearchCV(model, {}, cv=2),
    }[kind]()
    return f"{kind} {name}", made


def _wrapped_regressor(random: R, name: str, model: Any) -> tuple[str, Any]:
    kind = one(
        random,
        "voting",
        "stacking",
        "bagging",
        "search",
        "target scaled",
        "target by function",
        "target by quantiles",
    )
    second = one(random, "Ridge", "RandomForestRegressor", "KNeighborsRegressor")
    pair = [("a", model), ("b", REGRESSORS[second](random))]
    made = {
        "voting": lambda: ensemble.VotingRegressor(pair),
        "stacking": lambda: ensemble.StackingRegressor(pair, cv=3),
        "bagging": lambda: ensemble.BaggingRegressor(model, 3, random_state=0),
        "search": lambda: GridSearchCV(model, {}, cv=2),
        "target scaled": lambda: TransformedTargetRegressor(
            model,
            transformer=one(random, preprocessing.StandardScaler(), preprocessing.MinMaxScaler()),
        ),
        "target by function": lambda: TransformedTargetRegressor(
            model, func=np.arcsinh, inverse_func=np.sinh
        ),
        "target by quantiles": lambda: TransformedTargetRegressor(
            model,
            transformer=one(
                random,
                preprocessing.PowerTransformer(),
                preprocessing.QuantileTransformer(n_quantiles=40),
            ),
        ),
    }[kind]()
    return f"{kind} {name}", made


def native(random: R, table: Table, task: str) -> tuple[str, Any] | None:
    """Return a booster that takes a table with categories or holes as it is, sometimes."""
    if task not in (*CLASSES, "value") or random.random() < 0.5:
        return None
    kind = "Regressor" if task == "value" else "Classifier"
    if table.kind == "frame of categories" and "day" not in table.X:
        if one(random, True, False):
            return f"native LGBM{kind}", _lgbm(f"LGBM{kind}", random)
        hist = getattr(ensemble, f"HistGradientBoosting{kind}")
        return f"native HistGradientBoosting{kind}", hist(
            max_iter=15, min_samples_leaf=5, categorical_features="from_dtype", random_state=0
        )
    if table.holes and not table.framed:
        pool = REGRESSORS if task == "value" else CLASSIFIERS
        names = [
            n for n in pool if n in HOLE_PROOF and (n not in TEXT_FREE or task in ("two", "rare"))
        ]
        name = one(random, *names)
        return f"native {name}", pool[name](random)
    return None
