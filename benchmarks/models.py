"""The models that are measured: small ones that people put on devices."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits, make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from converters import convert
from edge_sdk.model.release import Release

Maker = Callable[[], tuple[Any, Any, Any]]


def _thirty_features() -> tuple[Any, Any]:
    X, y = make_classification(3_000, 30, n_informative=12, random_state=0)
    return X.astype(np.float32), y


def logistic_regression() -> tuple[Any, Any, Any]:
    """30 features, two classes."""
    X, y = _thirty_features()
    return LogisticRegression(max_iter=500).fit(X[:2_000], y[:2_000]), X[2_000:], y[2_000:]


def perceptron() -> tuple[Any, Any, Any]:
    """30 features, two hidden layers of 64 and 32."""
    X, y = _thirty_features()
    model = MLPClassifier((64, 32), max_iter=30, random_state=0)
    return model.fit(X[:2_000], y[:2_000]), X[2_000:], y[2_000:]


def larger_perceptron() -> tuple[Any, Any, Any]:
    """30 features, two hidden layers of 256 and 128: of a cloud model's size."""
    X, y = _thirty_features()
    model = MLPClassifier((256, 128), max_iter=5, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X[:2_000], y[:2_000]), X[2_000:], y[2_000:]


def forest() -> tuple[Any, Any, Any]:
    """A hundred trees on the bundled digits."""
    X, y = load_digits(return_X_y=True)
    model = RandomForestClassifier(100, random_state=0).fit(X[:900], y[:900])
    return model, X[900:], y[900:]


MODELS: dict[str, Maker] = {
    "logistic-regression": logistic_regression,
    "mlp-64-32": perceptron,
    "forest-100": forest,
}


def release_of(name: str, folder: Path) -> Release:
    """The release of one of :data:`MODELS`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        made = MODELS[name]()
    return converted(made, name, folder)


def converted(made: tuple[Any, Any, Any], name: str, folder: Path) -> Release:
    """A release of that name, in one variant.

    Args:
        made: the model, rows to certify it on, and their labels.
        name: of the line.
        folder: in which the release gets a folder of its own.
    """
    model, X, y = made
    return convert(model, X, y, name=name, out=folder / name, variants=("float32",))
