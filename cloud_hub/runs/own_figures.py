"""How good a trained model is in its own framework, before it is converted."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloud_hub.runs.context import LabelledRows, Trained
from cloud_hub.runs.steps.recorder import StepSkipped
from converters import ConversionError
from converters.estimators.model_file import load
from edge_sdk.contract.manifest import Task

READ = (".skops", ".pkl", ".joblib")
"""Endings of files of estimators."""


def figures(trained: Trained, held: LabelledRows, *, task: Task, trust: bool) -> dict[str, float]:
    """Return figures of a model on rows that it was not trained on.

    Args:
        trained: a fitted estimator, or the path of one.
        held: labelled rows.
        task: of the model.
        trust: a file may be a pickle.

    Raises:
        StepSkipped: it has no answers of its own, or there are no rows; the text says why.
    """
    if not len(held):
        raise StepSkipped("no rows were held back")
    model = _estimator(trained, trust=trust)
    if task not in ("classification", "regression"):
        raise StepSkipped(f"no figures are known for {task}")
    if task == "classification" and not hasattr(model, "classes_"):
        raise StepSkipped(f"{type(model).__name__} names no classes; see the certificate")
    predicted, truth = _answers(model, held.X), np.asarray(held.y)
    if predicted.shape != truth.shape:
        raise StepSkipped(f"answers {list(predicted.shape)} to labels {list(truth.shape)}")
    rows = {"rows": float(len(held))}
    if task == "classification":
        same = predicted == truth if _numbers(predicted, truth) else _texts(predicted, truth)
        return {**rows, "accuracy": float(np.mean(same))}
    error = predicted.astype(np.float64) - truth.astype(np.float64)
    return {
        **rows, "mae": float(np.abs(error).mean()), "rmse": float(np.sqrt((error**2).mean())),
    }  # fmt: skip


def _estimator(trained: Trained, *, trust: bool) -> Any:
    path = trained.path
    if path is None:
        return trained.model
    if path.suffix not in READ:
        raise StepSkipped(f"a file {path.suffix} has no answers of its own; see the certificate")
    try:
        return load(path, trust=trust)
    except ConversionError as error:  # the conversion refuses it in a moment, with its reasons
        raise StepSkipped(str(error)) from error


def _answers(model: Any, X: Any) -> NDArray[Any]:
    try:
        return np.asarray(model.predict(X))
    except Exception as error:  # whatever a library raises; the conversion says if it is of no use
        raise StepSkipped(f"does not answer these rows: {error}") from error


def _numbers(*arrays: NDArray[Any]) -> bool:
    return all(array.dtype.kind in "fiub" for array in arrays)


def _texts(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.bool_]:
    same: NDArray[np.bool_] = one.astype(str) == other.astype(str)
    return same
