"""Models made of models: what they ask of the inner ones, and how they put the answers together."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from converters.errors import UnsupportedModel
from converters.estimators.sklearn_repairs import parts_of
from converters.lowering import registry
from converters.lowering.graph import DOUBLE, FLOAT, INT64, Graph
from converters.lowering.maths import (
    beside,
    complement,
    f32,
    f64,
    interpolate,
    nearest_point,
    normalised,
    single,
    total,
)
from converters.lowering.registry import as_float, column, form, labels
from converters.lowering.scalers import is_sharp
from converters.lowering.table import Block, Table, floats, side_by_side


def _mean(graph: Graph, parts: list[str], weights: Any) -> str:
    """The weighted mean of tensors of one shape."""
    shares = f32(np.full(len(parts), 1.0) if weights is None else weights)
    shares = shares / shares.sum()
    scaled = [graph.op("Mul", x, w) for x, w in zip(parts, shares, strict=True)]
    return scaled[0] if len(scaled) == 1 else graph.op("Sum", *scaled)


def _argmax(graph: Graph, scores: str) -> str:
    return graph.op("ArgMax", scores, axis=1, keepdims=0)


# Voting and stacking


@form("predict_proba", "VotingClassifier")
def _vote_shares(graph: Graph, model: Any, rows: Table) -> str:
    parts = [registry.probabilities(graph, inner, rows) for inner in model.estimators_]
    return _mean(graph, parts, model._weights_not_none)


@form("predict", "VotingClassifier")
def _vote(graph: Graph, model: Any, rows: Table) -> str:
    if model.voting == "soft":
        scores = _vote_shares(graph, model, rows)
    else:
        votes = [
            _one_hot(graph, registry.predict(graph, inner, rows), len(model.classes_))
            for inner in model.estimators_
        ]
        scores = _mean(graph, votes, model._weights_not_none)
    return labels(graph, _argmax(graph, scores), model.classes_)


def _one_hot(graph: Graph, index: str, classes: int) -> str:
    """float32 [N, classes] of class numbers [N]."""
    same = graph.op("Equal", column(graph, index), np.arange(classes, dtype=np.int64)[None])
    return as_float(graph, same)


@form("predict", "VotingRegressor")
def _vote_value(graph: Graph, model: Any, rows: Table) -> str:
    parts = [registry.predict(graph, inner, rows) for inner in model.estimators_]
    return _mean(graph, parts, model._weights_not_none)


def _stacked(graph: Graph, model: Any, rows: Table) -> Table:
    """What the last estimator of a stack sees."""
    classes = len(getattr(model, "classes_", ()))
    parts = []
    for inner, method in zip(model.estimators_, model.stack_method_, strict=True):
        if method == "predict_proba":
            made = registry.probabilities(graph, inner, rows)
            if classes == 2:
                made = graph.op("Gather", made, np.array([1], np.int64), axis=1)
            parts.append(Table.of(made, 1 if classes == 2 else classes))
        elif method == "decision_function":
            made = registry.decision(graph, inner, rows)
            parts.append(Table.of(made, 1 if classes == 2 else classes))
        else:
            made = registry.predict(graph, inner, rows)
            made = as_float(graph, column(graph, made)) if classes else made
            parts.append(Table.of(made, 1))
    if model.passthrough:
        parts.append(rows)
    joined = side_by_side(parts)
    return Table.of(floats(graph, joined), joined.width) if joined.numeric else joined


@form("predict_proba", "StackingClassifier")
def _stack_shares(graph: Graph, model: Any, rows: Table) -> str:
    return registry.probabilities(graph, model.final_estimator_, _stacked(graph, model, rows))


@form("decision_function", "StackingClassifier")
def _stack_scores(graph: Graph, model: Any, rows: Table) -> str:
    return registry.decision(graph, model.final_estimator_, _stacked(graph, model, rows))


@form("predict", "StackingClassifier")
def _stack(graph: Graph, model: Any, rows: Table) -> str:
    index = registry.predict(graph, model.final_estimator_, _stacked(graph, model, rows))
    return labels(graph, index, model.classes_)


@form("predict", "StackingRegressor")
def _stack_value(graph: Graph, model: Any, rows: Table) -> str:
    return registry.predict(graph, model.final_estimator_, _stacked(graph, model, rows))


# Calibration and thresholds


@form("predict_proba", "CalibratedClassifierCV")
def _calibrated(graph: Graph, model: Any, rows: Table) -> str:
    parts = [_calibrated_one(graph, inner, rows) for inner in model.calibrated_classifiers_]
    return _mean(graph, parts, None)


@form("predict", "CalibratedClassifierCV")
def _calibrated_label(graph: Graph, model: Any, rows: Table) -> str:
    return labels(graph, _argmax(graph, _calibrated(graph, model, rows)), model.classes_)


def _calibrated_one(graph: Graph, model: Any, rows: Table) -> str:
    if model.method not in ("sigmoid", "isotonic"):
        raise UnsupportedModel(f"CalibratedClassifierCV: the method {model.method!r} has no form")
    count = len(model.classes)
    if len(model.estimator.classes_) != count:
        raise UnsupportedModel("CalibratedClassifierCV: an inner model lacks a class")
    _check_steps(model)
    scores = _scores(graph, model.estimator, rows)
    parts = []
    for i, calibrator in enumerate(model.calibrators):
        one = graph.op("Gather", scores, np.array([i], np.int64), axis=1)
        parts.append(_curve(graph, calibrator, one))
    if count == 2:
        return complement(graph, parts[0])
    sums = total(graph, beside(graph, parts))
    empty = graph.op("Equal", sums, 0.0)
    shares = graph.op("Div", beside(graph, parts), graph.op("Where", empty, 1.0, sums))
    return graph.op("Where", empty, f32(np.full(count, 1 / count))[None], shares)


STEEPEST: Final = 500.0
"""At a steeper step, float32 scores that differ by a rounding are calibrated 1e-4 apart."""


def _check_steps(model: Any) -> None:
    """Refuse isotonic curves over trees with steps that are narrower than float32 is fine.

    Trees give few different scores, so many rows fall exactly onto such a step, and on which side
    is decided by the last bits of a float64 sum.
    """
    names = [type(part).__name__ for part in parts_of(model.estimator)]
    if model.method != "isotonic" or not is_sharp(names):
        return
    for curve in model.calibrators:
        rise, width = np.diff(curve.y_thresholds_), np.diff(curve.X_thresholds_)
        if (rise > STEEPEST * np.maximum(width, 1e-300)).any():
            raise UnsupportedModel(
                f"CalibratedClassifierCV: its isotonic curve over {names[0]} has a step "
                f"{float(width[rise > STEEPEST * width].min()):.1g} wide, which float32 scores "
                "cannot tell apart; use method='sigmoid', or trees that are grown until their "
                "leaves are pure"
            )


def _scores(graph: Graph, model: Any, rows: Table) -> str:
    """Decision values if there are any, else probabilities; of two classes the second alone."""
    if hasattr(model, "decision_function"):
        return registry.decision(graph, model, rows)
    shares = registry.probabilities(graph, model, rows)
    if len(model.classes_) > 2:
        return shares
    return graph.op("Gather", shares, np.array([1], np.int64), axis=1)


def _curve(graph: Graph, calibrator: Any, score: str) -> str:
    """One calibration curve over scores [N, 1]; float32."""
    if hasattr(calibrator, "X_thresholds_"):
        return _isotonic(graph, calibrator, score)
    line = graph.op("Mul", graph.cast(score, DOUBLE), f64(-calibrator.a_))
    shifted = graph.op("Add", line, f64(-calibrator.b_))
    return graph.op("Sigmoid", single(graph, shifted))


def _isotonic(graph: Graph, model: Any, score: str) -> str:
    """Linear interpolation between the thresholds, computed in float64."""
    x = graph.cast(score, DOUBLE)
    made = single(graph, interpolate(graph, x, model.X_thresholds_, model.y_thresholds_))
    if model.out_of_bounds == "nan":
        low, high = f64(model.X_min_), f64(model.X_max_)
        outside = graph.op("Or", graph.op("Less", x, low), graph.op("Greater", x, high))
        return graph.op("Where", outside, np.float32(np.nan), made)
    return made


@form("predict", "IsotonicRegression")
def _isotonic_value(graph: Graph, model: Any, rows: Table) -> str:
    if model.out_of_bounds == "raise":
        raise UnsupportedModel(
            "IsotonicRegression: out_of_bounds='raise' has no form; use 'clip' or 'nan'"
        )
    return _isotonic(graph, model, floats(graph, rows))


def _inner_of(model: Any) -> Any:
    return getattr(model, "estimator_", None) or model.estimator


@form("predict_proba", "FixedThresholdClassifier", "TunedThresholdClassifierCV")
def _threshold_shares(graph: Graph, model: Any, rows: Table) -> str:
    return registry.probabilities(graph, _inner_of(model), rows)


@form("predict", "FixedThresholdClassifier", "TunedThresholdClassifierCV")
def _threshold(graph: Graph, model: Any, rows: Table) -> str:
    """The positive label where its score reaches the threshold."""
    inner = _inner_of(model)
    positive = _positive_label(model)
    place = list(inner.classes_).index(positive)
    wanted = model._get_response_method()
    method = next(m for m in np.atleast_1d(wanted) if hasattr(inner, str(m)))
    if method == "predict_proba":
        shares = registry.probabilities(graph, inner, rows)
        score = graph.op("Gather", shares, np.array([place], np.int64), axis=1)
        threshold = _cut(model, 0.5)
    else:
        score = registry.decision(graph, inner, rows)
        score = score if place == 1 else graph.op("Neg", score)
        threshold = _cut(model, 0.0)
    reached = graph.op("GreaterOrEqual", graph.cast(score, DOUBLE), f64(threshold))
    index = graph.op("Where", reached, place, 1 - place)
    return labels(graph, registry.flat(graph, index), inner.classes_)


def _cut(model: Any, automatic: float) -> float:
    if hasattr(model, "best_threshold_"):
        return float(model.best_threshold_)
    return automatic if model.threshold == "auto" else float(model.threshold)


def _positive_label(model: Any) -> Any:
    scorer = getattr(model, "_curve_scorer", None)
    chosen = scorer._get_pos_label() if scorer is not None else model.pos_label
    return _inner_of(model).classes_[1] if chosen is None else chosen


# One model for each class, pair of classes, or target


@form("decision_function", "_ConstantPredictor")
def _always(graph: Graph, model: Any, rows: Table) -> str:
    """What stands for a class that every training row had, or none."""
    return _repeated(graph, rows, f32(np.reshape(model.y_, (1, 1))))


@form("predict_proba", "_ConstantPredictor")
def _always_shares(graph: Graph, model: Any, rows: Table) -> str:
    return complement(graph, _always(graph, model, rows))


@form("decision_function", "OneVsRestClassifier")
def _rest_scores(graph: Graph, model: Any, rows: Table) -> str:
    return beside(graph, [registry.decision(graph, inner, rows) for inner in model.estimators_])


@form("predict_proba", "OneVsRestClassifier")
def _rest_shares(graph: Graph, model: Any, rows: Table) -> str:
    parts = [_second(graph, inner, rows) for inner in model.estimators_]
    if model.multilabel_:
        return beside(graph, parts)
    return (
        complement(graph, parts[0]) if len(parts) == 1 else normalised(graph, beside(graph, parts))
    )


def _second(graph: Graph, model: Any, rows: Table) -> str:
    """The probability of the second class, [N, 1]."""
    shares = registry.probabilities(graph, model, rows)
    return graph.op("Gather", shares, np.array([1], np.int64), axis=1)


def _binary(graph: Graph, model: Any, rows: Table) -> tuple[str, float]:
    """A score [N, 1] for the second class, and where it says yes."""
    if hasattr(model, "decision_function"):
        return registry.decision(graph, model, rows), 0.0
    return _second(graph, model, rows), 0.5


@form("predict", "OneVsRestClassifier")
def _rest(graph: Graph, model: Any, rows: Table) -> str:
    scored = [_binary(graph, inner, rows) for inner in model.estimators_]
    scores, cut = beside(graph, [score for score, _ in scored]), scored[0][1]
    if model.multilabel_:
        return graph.cast(graph.op("Greater", scores, cut), INT64)
    if len(scored) == 1:
        yes = registry.flat(graph, graph.op("Greater", scores, cut))
        return labels(graph, graph.cast(yes, INT64), model.classes_)
    return labels(graph, _argmax(graph, scores), model.classes_)


@form("decision_function", "OneVsOneClassifier")
def _pair_scores(graph: Graph, model: Any, rows: Table) -> str:
    """Votes, and confidences squeezed so that they break ties alone."""
    count = len(model.classes_)
    pairs = [(i, j) for i in range(count) for j in range(i + 1, count)]
    scored = [_binary(graph, inner, rows) for inner in model.estimators_]
    scores, cut = beside(graph, [score for score, _ in scored]), scored[0][1]
    sign, first, second = (np.zeros((len(pairs), count), np.float32) for _ in range(3))
    for k, (i, j) in enumerate(pairs):
        sign[k, i], sign[k, j], first[k, i], second[k, j] = -1, 1, 1, 1
    sums = graph.op("MatMul", scores, sign)
    won = as_float(graph, graph.op("Greater", scores, cut))
    lost = graph.op("Sub", 1.0, won)
    votes = graph.op("Add", graph.op("MatMul", won, second), graph.op("MatMul", lost, first))
    size = graph.op("Mul", graph.op("Add", graph.op("Abs", sums), 1.0), 3.0)
    both = graph.op("Add", votes, graph.op("Div", sums, size))
    return graph.op("MatMul", scores, f32([[1.0]])) if count == 2 else both


@form("predict", "OneVsOneClassifier")
def _pairs(graph: Graph, model: Any, rows: Table) -> str:
    scores = _pair_scores(graph, model, rows)
    if len(model.classes_) > 2:
        return labels(graph, _argmax(graph, scores), model.classes_)
    cut = 0.0 if hasattr(model.estimators_[0], "decision_function") else 0.5
    yes = registry.flat(graph, graph.op("Greater", scores, cut))
    return labels(graph, graph.cast(yes, INT64), model.classes_)


@form("predict", "OutputCodeClassifier")
def _codes(graph: Graph, model: Any, rows: Table) -> str:
    scores = [_binary(graph, inner, rows)[0] for inner in model.estimators_]
    x = graph.cast(beside(graph, scores), DOUBLE)
    return labels(graph, nearest_point(graph, x, model.code_book_), model.classes_)


@form("predict", "MultiOutputRegressor")
def _values(graph: Graph, model: Any, rows: Table) -> str:
    return beside(graph, [registry.predict(graph, inner, rows) for inner in model.estimators_])


@form("predict", "MultiOutputClassifier")
def _targets(graph: Graph, model: Any, rows: Table) -> str:
    parts = [column(graph, registry.predict(graph, m, rows)) for m in model.estimators_]
    return beside(graph, parts)


@form("predict_proba", "MultiOutputClassifier")
def _target_shares(graph: Graph, model: Any, rows: Table) -> str:
    return beside(graph, [registry.probabilities(graph, m, rows) for m in model.estimators_])


def _chained(graph: Graph, model: Any, rows: Table, last: Any) -> str:
    """Each model sees the answers of those before it; ``last`` makes the output of each."""
    own = floats(graph, rows)
    seen: list[Block] = []
    made: list[str] = []
    for inner in model.estimators_:
        given = Table((Block(own, FLOAT, rows.width), *seen))
        made.append(last(graph, inner, given))
        chain = getattr(model, "chain_method_", "predict")
        seen.append(Block(_link(graph, inner, given, chain), FLOAT, 1))
    order = np.argsort(model.order_)
    return beside(graph, [made[i] for i in order])


def _link(graph: Graph, model: Any, rows: Table, method: str) -> str:
    if method == "predict_proba":
        return _second(graph, model, rows)
    if method == "decision_function":
        return registry.decision(graph, model, rows)
    made = registry.predict(graph, model, rows)
    return as_float(graph, column(graph, made)) if hasattr(model, "classes_") else made


@form("predict", "RegressorChain")
def _chain_values(graph: Graph, model: Any, rows: Table) -> str:
    return _chained(graph, model, rows, registry.predict)


@form("predict", "ClassifierChain")
def _chain_labels(graph: Graph, model: Any, rows: Table) -> str:
    def label(graph: Graph, inner: Any, given: Table) -> str:
        return column(graph, registry.predict(graph, inner, given))

    return _chained(graph, model, rows, label)


@form("predict_proba", "ClassifierChain")
def _chain_shares(graph: Graph, model: Any, rows: Table) -> str:
    return _chained(graph, model, rows, _second)


# Constants


@form("predict", "DummyRegressor")
def _constant_value(graph: Graph, model: Any, rows: Table) -> str:
    return _repeated(graph, rows, f32(model.constant_))


@form("predict_proba", "DummyClassifier")
def _constant_shares(graph: Graph, model: Any, rows: Table) -> str:
    if model.strategy not in ("most_frequent", "prior", "constant"):
        raise UnsupportedModel(f"DummyClassifier: {model.strategy!r} answers at random")
    shares = model.predict_proba(np.zeros((1, 1)))
    return _repeated(graph, rows, f32(shares))


@form("predict", "DummyClassifier")
def _constant_label(graph: Graph, model: Any, rows: Table) -> str:
    shares = _constant_shares(graph, model, rows)
    return labels(graph, _argmax(graph, shares), model.classes_)


def _repeated(graph: Graph, rows: Table, values: Any) -> str:
    """A row [1, k] for each row of the batch."""
    count = graph.op("Shape", rows.blocks[0].tensor, start=0, end=1)
    width = np.array([values.shape[1]], np.int64)
    return graph.op("Expand", values, graph.op("Concat", count, width, axis=0))
