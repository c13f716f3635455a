"""Calibrated probabilities, isotonic curves and thresholds of a decision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from converters.errors import UnsupportedModel
from converters.estimators.sklearn_repairs import parts_of
from converters.lowering import registry
from converters.lowering.graph import DOUBLE, Graph
from converters.lowering.maths import (
    argmax,
    complement,
    concat,
    f32,
    f64,
    interpolate,
    single,
    total,
    weighted_mean,
)
from converters.lowering.registry import labels, lowers
from converters.lowering.table import Table, floats
from converters.lowering.transformers.scalers import is_sharp

if TYPE_CHECKING:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.isotonic import IsotonicRegression
    from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV


@lowers("predict_proba", "CalibratedClassifierCV")
def _lower_calibrated_probabilities(
    estimator: CalibratedClassifierCV, graph: Graph, rows: Table
) -> str:
    parts = [_calibrated_fold(inner, graph, rows) for inner in estimator.calibrated_classifiers_]
    return weighted_mean(graph, parts, None)


@lowers("predict", "CalibratedClassifierCV")
def _lower_calibrated_labels(estimator: CalibratedClassifierCV, graph: Graph, rows: Table) -> str:
    return labels(
        graph,
        argmax(graph, _lower_calibrated_probabilities(estimator, graph, rows)),
        estimator.classes_,
    )


def _calibrated_fold(estimator: Any, graph: Graph, rows: Table) -> str:
    if estimator.method not in ("sigmoid", "isotonic"):
        raise UnsupportedModel(
            f"CalibratedClassifierCV: the method {estimator.method!r} cannot be converted"
        )
    count = len(estimator.classes)
    if len(estimator.estimator.classes_) != count:
        raise UnsupportedModel("CalibratedClassifierCV: an inner model lacks a class")
    if _is_stepwise(estimator):
        _check_isotonic_steps(estimator)
        graph.exact = True  # the sums before the curve, added up as scikit-learn does
    scores = _uncalibrated_scores(estimator.estimator, graph, rows)
    parts = []
    for i, calibrator in enumerate(estimator.calibrators):
        score = graph.op("Gather", scores, np.array([i], np.int64), axis=1)
        parts.append(_calibration_curve(graph, calibrator, score))
    if count == 2:
        return complement(graph, parts[0])
    sums = total(graph, concat(graph, parts))
    # Where all curves say 0, scikit-learn takes all classes for equally likely.
    empty = graph.op("Equal", sums, 0.0)
    probabilities = graph.op("Div", concat(graph, parts), graph.op("Where", empty, 1.0, sums))
    return graph.op("Where", empty, f32(np.full(count, 1 / count))[None], probabilities)


FINEST: Final = 1e-4
"""A higher step between two scores that are one in float32 cannot be reproduced."""


def _check_isotonic_steps(estimator: Any) -> None:
    """Refuse isotonic curves over trees with steps between scores that are equal in float32."""
    names = [type(part).__name__ for part in parts_of(estimator.estimator)]
    for curve in estimator.calibrators:
        rise, width = np.diff(curve.y_thresholds_), np.diff(f32(curve.X_thresholds_))
        if (rise[width == 0] > FINEST).any():
            raise UnsupportedModel(
                f"CalibratedClassifierCV: its isotonic curve over {names[0]} has a step between "
                "scores that float32 cannot tell apart; use method='sigmoid', or trees that are "
                "grown until their leaves are pure"
            )


def _is_stepwise(estimator: Any) -> bool:
    """Return True for isotonic curves over trees.

    Trees give few different scores, so many rows fall exactly onto a step of the curve, and on
    which side is decided by the last bits of a sum.
    """
    names = [type(part).__name__ for part in parts_of(estimator.estimator)]
    return estimator.method == "isotonic" and is_sharp(names)


def _uncalibrated_scores(estimator: Any, graph: Graph, rows: Table) -> str:
    """Return decision values if there are any, else probabilities; of two classes the second's."""
    if hasattr(estimator, "decision_function"):
        return registry.decision(estimator, graph, rows)
    probabilities = registry.probabilities(estimator, graph, rows)
    if len(estimator.classes_) > 2:
        return probabilities
    return graph.op("Gather", probabilities, np.array([1], np.int64), axis=1)


def _calibration_curve(graph: Graph, calibrator: Any, score: str) -> str:
    """Write one calibration curve over scores [N, 1]; float32 [N, 1]."""
    if hasattr(calibrator, "X_thresholds_"):
        return _isotonic_curve(calibrator, graph, score)
    line = graph.op("Mul", graph.cast(score, DOUBLE), f64(-calibrator.a_))
    shifted = graph.op("Add", line, f64(-calibrator.b_))
    return graph.op("Sigmoid", single(graph, shifted))


def _isotonic_curve(estimator: Any, graph: Graph, score: str) -> str:
    """Interpolate linearly between the thresholds, in float64."""
    x = graph.cast(score, DOUBLE)
    # Scores are float32; so are the thresholds: those that were equal still are.
    places = f64(f32(estimator.X_thresholds_))
    curve = single(graph, interpolate(graph, x, places, estimator.y_thresholds_))
    if estimator.out_of_bounds == "nan":
        low, high = f64(estimator.X_min_), f64(estimator.X_max_)
        outside = graph.op("Or", graph.op("Less", x, low), graph.op("Greater", x, high))
        return graph.op("Where", outside, np.float32(np.nan), curve)
    return curve


@lowers("predict", "IsotonicRegression")
def _lower_isotonic_regression(estimator: IsotonicRegression, graph: Graph, rows: Table) -> str:
    if estimator.out_of_bounds == "raise":
        raise UnsupportedModel(
            "IsotonicRegression: out_of_bounds='raise' cannot be converted; use 'clip' or 'nan'"
        )
    return _isotonic_curve(estimator, graph, floats(graph, rows))


def _thresholded_model(estimator: Any) -> Any:
    return getattr(estimator, "estimator_", None) or estimator.estimator


@lowers("predict_proba", "FixedThresholdClassifier", "TunedThresholdClassifierCV")
def _lower_threshold_probabilities(
    estimator: FixedThresholdClassifier | TunedThresholdClassifierCV, graph: Graph, rows: Table
) -> str:
    return registry.probabilities(_thresholded_model(estimator), graph, rows)


@lowers("predict", "FixedThresholdClassifier", "TunedThresholdClassifierCV")
def _lower_threshold_labels(
    estimator: FixedThresholdClassifier | TunedThresholdClassifierCV, graph: Graph, rows: Table
) -> str:
    """Return the positive label where its score reaches the threshold, else the other."""
    inner = _thresholded_model(estimator)
    positive = _positive_label(estimator)
    place = list(inner.classes_).index(positive)
    methods = estimator._get_response_method()
    method = next(m for m in np.atleast_1d(methods) if hasattr(inner, str(m)))
    if method == "predict_proba":
        probabilities = registry.probabilities(inner, graph, rows)
        score = graph.op("Gather", probabilities, np.array([place], np.int64), axis=1)
        threshold = _threshold_value(estimator, 0.5)
    else:
        score = registry.decision(inner, graph, rows)
        # One decision value for both classes: that of the first is its negative.
        score = score if place == 1 else graph.op("Neg", score)
        threshold = _threshold_value(estimator, 0.0)
    reached = graph.op("GreaterOrEqual", graph.cast(score, DOUBLE), f64(threshold))
    index = graph.op("Where", reached, place, 1 - place)
    return labels(graph, registry.flat(graph, index), inner.classes_)


def _threshold_value(estimator: Any, automatic: float) -> float:
    if hasattr(estimator, "best_threshold_"):
        return float(estimator.best_threshold_)
    return automatic if estimator.threshold == "auto" else float(estimator.threshold)


def _positive_label(estimator: Any) -> Any:
    scorer = getattr(estimator, "_curve_scorer", None)
    chosen = scorer._get_pos_label() if scorer is not None else estimator.pos_label
    return _thresholded_model(estimator).classes_[1] if chosen is None else chosen
