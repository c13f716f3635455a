"""The models: a small incremental one for the device, a larger one for the cloud, a bad one."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler

from cloud_hub.runs import TrainingContext
from examples.digits.data import Digits, changed_camera

CLASSES = np.arange(10)


def first_model(data: Digits, seed: int = 0, *, rounds: int = 80, step: float = 1e-3) -> Pipeline:
    """Train a small network for the device from scratch.

    Args:
        data: rows [N, 64] and labels [N].
        seed: of the weights and the batches.
        rounds: passes over the data at most.
        step: learning rate at the beginning.
    """
    learner = MLPClassifier(
        (64,), max_iter=rounds, learning_rate_init=step, alpha=1e-3, random_state=seed
    )
    return _fitted(Pipeline([("scale", MinMaxScaler()), ("learn", learner)]), data.X, data.y)


def cloud_model(data: Digits, seed: int = 0) -> Pipeline:
    """Train a larger network on pictures of three cameras."""
    parts = [data.X, *(changed_camera(data.X, i) for i in range(2))]
    learner = MLPClassifier((256, 128), max_iter=40, alpha=1e-3, random_state=seed)
    pipeline = Pipeline([("scale", MinMaxScaler()), ("learn", learner)])
    return _fitted(pipeline, np.concatenate(parts), np.concatenate([data.y] * len(parts)))


def small_model(data: Digits, seed: int = 0) -> Pipeline:
    """Train a network of eight neurons on pictures of two cameras."""
    X = np.concatenate([data.X, changed_camera(data.X, 0)])
    learner = MLPClassifier((8,), max_iter=60, alpha=1e-3, random_state=seed)
    pipeline = Pipeline([("scale", MinMaxScaler()), ("learn", learner)])
    return _fitted(pipeline, X, np.concatenate([data.y, data.y]))


def bad_model(data: Digits, seed: int = 0) -> Pipeline:
    """Train on a broken labelling job: two of three digits have their neighbour's label."""
    y = np.where(np.arange(len(data.y)) % 3 > 0, (data.y + 1) % 10, data.y)
    return first_model(Digits(data.X, y), seed)


def train(context: TrainingContext) -> Any:
    """Train as the hub's entry point.

    Stateful: the parent goes on learning from fresh rows, mixed with as many from history so that
    it does not forget. Stateless: a new model from history and fresh rows together.
    """
    X, y = context.fresh.X, context.fresh.y
    if context.mode == "stateless":
        assert context.history is not None
        both = Digits(
            np.concatenate([context.history.X, X]).astype(np.float32),
            np.concatenate([context.history.y, y]),
        )
        return first_model(both, context.seed, rounds=120, step=3e-3)
    model = context.parent_estimator()
    scaler, learner = model.named_steps["scale"], model.named_steps["learn"]
    random = np.random.default_rng(context.seed)
    for _ in range(EPOCHS):
        X_mixed, y_mixed = _with_history(context, X, y, random)
        order = random.permutation(len(X_mixed))
        learner.partial_fit(scaler.transform(X_mixed[order]), y_mixed[order], classes=CLASSES)
    return model


def hasty(context: TrainingContext) -> Any:
    """Train as somebody in a hurry: on the newest half of the rows alone, with half the rounds.

    The model knows the new camera and has forgotten the old one: catastrophic forgetting, which the
    offline gate is there for.
    """
    newest = slice(len(context.fresh) // 2, None)
    X, y = context.fresh.X[newest], context.fresh.y[newest]
    return first_model(Digits(X, y), context.seed, rounds=40, step=1.5e-3)


def quick(context: TrainingContext) -> Any:
    """Train a linear discriminant, for analyses that train many times."""
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    return model.fit(context.fresh.X, context.fresh.y)


EPOCHS = 60
"""Passes over the fresh rows of a stateful training."""


def _with_history(
    context: TrainingContext, X: Any, y: Any, random: np.random.Generator
) -> tuple[Any, Any]:
    if context.history is None:
        return X, y
    chosen = random.permutation(len(context.history))[: len(X)]
    mixed = np.concatenate([X, context.history.X[chosen]]).astype(np.float32)
    return mixed, np.concatenate([y, context.history.y[chosen]])


def _fitted(pipeline: Pipeline, X: Any, y: Any) -> Pipeline:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return pipeline.fit(X, y)
