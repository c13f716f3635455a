"""Each estimator with default parameters, fitted on data that suit it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import make_classification, make_regression
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils import all_estimators, get_tags

ROWS: Final = 400
HELD: Final = 120
"""Rows that nothing is fitted on: the first half is checked while converting, the rest after."""

WORDS: Final = (
    "the",
    "quick",
    "brown",
    "fox",
    "a",
    "lazy",
    "äh",
    "東京",
    "don't",
    "re-use",
    "3.14",
)


@dataclass(frozen=True)
class Case:
    """A fitted estimator with rows (and targets) that it was not fitted on."""

    model: Any
    X: Any
    y: Any


def names() -> list[str]:
    """Every estimator that scikit-learn lists."""
    return [name for name, _ in all_estimators()]


def case_of(name: str) -> Case:
    """The fitted estimator; raises whatever fitting raises."""
    model = make(name)
    X, y = data_for(name, model)
    np.random.seed(0)  # what random_state=None draws from
    fit_y = () if y is None else (y[:-HELD],)
    model.fit(X[:-HELD], *fit_y)
    return Case(model, X[-HELD:], None if y is None else y[-HELD:])


def make(name: str) -> Any:
    """Return an instance with default parameters; required ones get something small."""
    estimator_class = dict(all_estimators())[name]
    if name in _MADE:
        return estimator_class(**_MADE[name]())
    needed = [
        p.name
        for p in inspect.signature(estimator_class).parameters.values()
        if p.default is p.empty and p.kind is not p.VAR_KEYWORD
    ]
    return estimator_class(**{word: _small(word, name) for word in needed})


def _small(word: str, name: str) -> Any:
    if word == "base_estimator" or word == "estimator":
        return Ridge() if "Regressor" in name else LogisticRegression()
    raise ValueError(f"{name}: no value known for {word}")


_TWO: Final = [("a", LogisticRegression()), ("b", GaussianNB())]
_VALUES: Final = [("a", Ridge()), ("b", Ridge(10.0))]
_STEPS: Final = [("a", StandardScaler()), ("b", MinMaxScaler())]
_MADE: Final[dict[str, Callable[[], dict[str, Any]]]] = {
    "ColumnTransformer": lambda: {
        "transformers": [("a", StandardScaler(), [0, 2]), ("b", "passthrough", [1])]
    },
    "FeatureUnion": lambda: {"transformer_list": _STEPS},
    "Pipeline": lambda: {"steps": [("scale", StandardScaler()), ("model", LogisticRegression())]},
    "StackingClassifier": lambda: {"estimators": _TWO},
    "VotingClassifier": lambda: {"estimators": _TWO},
    "StackingRegressor": lambda: {"estimators": _VALUES},
    "VotingRegressor": lambda: {"estimators": _VALUES},
    "GridSearchCV": lambda: {"estimator": LogisticRegression(), "param_grid": {"C": [0.1, 1.0]}},
    "RandomizedSearchCV": lambda: {
        "estimator": LogisticRegression(),
        "param_distributions": {"C": [0.1, 1.0]},
        "n_iter": 2,
    },
    "HalvingGridSearchCV": lambda: {
        "estimator": LogisticRegression(),
        "param_grid": {"C": [0.1, 1.0]},
    },
    "HalvingRandomSearchCV": lambda: {
        "estimator": LogisticRegression(),
        "param_distributions": {"C": [0.1, 1.0]},
    },
    "FrozenEstimator": lambda: {"estimator": LogisticRegression().fit(*_classes(8)[:2])},
    "SparseCoder": lambda: {"dictionary": np.eye(8)},
    "FunctionTransformer": lambda: {"func": np.log1p},
    "SequentialFeatureSelector": lambda: {"estimator": LogisticRegression()},
    "RFE": lambda: {"estimator": LogisticRegression()},
    "RFECV": lambda: {"estimator": LogisticRegression()},
    "SelectFromModel": lambda: {"estimator": LogisticRegression()},
    "SelfTrainingClassifier": lambda: {"estimator": LogisticRegression()},
    "GaussianRandomProjection": lambda: {"n_components": 4},
    "SparseRandomProjection": lambda: {"n_components": 4},
}
_BINARY: Final = {"TunedThresholdClassifierCV", "FixedThresholdClassifier"}
_LABEL_TABLES: Final = {"ClassifierChain", "MultiOutputClassifier"}
_VALUE_TABLES: Final = {
    "CCA", "MultiOutputRegressor", "MultiTaskElasticNet", "MultiTaskElasticNetCV",
    "MultiTaskLasso", "MultiTaskLassoCV", "PLSCanonical", "PLSRegression", "PLSSVD",
    "RegressorChain",
}  # fmt: skip
_OF_VALUES: Final = {"CCA", "PLSCanonical", "PLSSVD"}
_OF_TEXT: Final = {"CountVectorizer", "HashingVectorizer", "TfidfVectorizer"}


def data_for(name: str, model: Any) -> tuple[Any, Any]:
    """Rows and targets that the estimator takes."""
    if name in _SPECIAL:
        return _SPECIAL[name]()
    tags = get_tags(model)
    kind = tags.estimator_type
    if name in _VALUE_TABLES:
        X, y = make_regression(ROWS, 8, n_targets=2, noise=5.0, random_state=0)
        return _positive(tags, X), y
    if kind == "regressor":
        X, y = make_regression(ROWS, 8, noise=5.0, random_state=0)
        y = y / 50
        return _positive(tags, X), (np.abs(y) + 0.1 if _needs_positive(tags, name) else y)
    X, y = _classes(8, 2 if name in _BINARY or not _many(tags) else 3)
    if name in _LABEL_TABLES:
        y = np.column_stack([y > 0, y > 1]).astype(int)
    return _positive(tags, X), y


def _many(tags: Any) -> bool:
    return tags.classifier_tags is None or tags.classifier_tags.multi_class


def _classes(width: int, classes: int = 3) -> tuple[NDArray[Any], NDArray[Any]]:
    X, y = make_classification(
        ROWS, width, n_informative=5, n_redundant=0, n_classes=classes, random_state=0
    )
    return X, y


def _positive(tags: Any, X: NDArray[Any]) -> NDArray[Any]:
    return np.abs(X) if tags.input_tags.positive_only else X


def _needs_positive(tags: Any, name: str) -> bool:
    return tags.target_tags.positive_only or name in ("GammaRegressor", "PoissonRegressor")


def _text() -> tuple[Any, Any]:
    random = np.random.default_rng(0)
    texts = [" ".join(random.choice(WORDS, random.integers(1, 9))) for _ in range(ROWS)]
    return texts, None


def _near() -> tuple[Any, Any]:
    """Rows that all have neighbours within a distance of one."""
    random = np.random.default_rng(0)
    X = random.random((ROWS, 3))
    return X, (X.sum(axis=1) * 2 - 1.5).round().astype(int)


def _counts() -> tuple[Any, Any]:
    random = np.random.default_rng(0)
    return random.integers(0, 4, (ROWS, 6)).astype(float), random.integers(0, 3, ROWS)


def _holed() -> tuple[Any, Any]:
    X, y = _classes(8)
    X[np.random.default_rng(0).random(X.shape) < 0.1] = np.nan
    return X, y


def _one_column() -> tuple[Any, Any]:
    X, y = make_regression(ROWS, 1, noise=5.0, random_state=0)
    return X, y


def _dicts() -> tuple[Any, Any]:
    random = np.random.default_rng(0)
    return [{"a": float(v), f"k{int(v * 3)}": 1.0} for v in random.random(ROWS)], None


def _labels() -> tuple[Any, Any]:
    return np.random.default_rng(0).integers(0, 4, ROWS), None


def _sets() -> tuple[Any, Any]:
    return [(int(v), 5) for v in np.random.default_rng(0).integers(0, 4, ROWS)], None


def _patches() -> tuple[Any, Any]:
    return np.random.default_rng(0).random((ROWS, 12, 12)), None


def _kernel() -> tuple[Any, Any]:
    X, _ = _classes(8)
    return X @ X[:-HELD].T, None


_SPECIAL: Final[dict[str, Callable[[], tuple[Any, Any]]]] = {
    **dict.fromkeys(_OF_TEXT, _text),
    **dict.fromkeys(("CategoricalNB", "OneHotEncoder", "OrdinalEncoder", "TargetEncoder"), _counts),
    **dict.fromkeys(
        ("SimpleImputer", "KNNImputer", "IterativeImputer", "MissingIndicator"), _holed
    ),
    "IsotonicRegression": _one_column,
    **dict.fromkeys(("RadiusNeighborsClassifier", "RadiusNeighborsRegressor"), _near),
    "SkewedChi2Sampler": _near,
    "FunctionTransformer": _near,
    **dict.fromkeys(("DictVectorizer", "FeatureHasher"), _dicts),
    **dict.fromkeys(("LabelEncoder", "LabelBinarizer"), _labels),
    "MultiLabelBinarizer": _sets,
    "PatchExtractor": _patches,
    "KernelCenterer": _kernel,
}
