"""Models of trees: one operator for all of their trees, plain operators for what comes after."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import numpy as np

from converters.errors import UnsupportedModel
from converters.lowering.graph import ML, Graph
from converters.lowering.registry import flat, form, labels
from converters.lowering.table import Table, floats, floored
from converters.trees import classic, xgboost
from converters.trees.grown import Grown, Link
from converters.trees.readers import READERS, read

T = TypeVar("T")
_LINKS: Final[dict[Link, str]] = {"sigmoid": "Sigmoid", "softmax": "Softmax", "exp": "Exp"}

_IN_FLOAT64: Final = ("HistGradientBoosting", "LGBM")
"""These compare in float64; the others round what comes to float32 first."""


def _predict(graph: Graph, model: Any, rows: Table) -> str:
    """Labels [N], of several classified columns [N, columns]; or values [N, targets]."""
    answers = _answers(graph, model, rows)
    if not hasattr(model, "predict_proba"):
        return answers
    classes = model.classes_
    if not isinstance(classes, list):
        return labels(graph, graph.op("ArgMax", answers, axis=1, keepdims=0), classes)
    ends = np.cumsum([len(known) for known in classes])
    parts = [
        graph.op("Gather", answers, np.arange(end - len(known), end), axis=1)
        for known, end in zip(classes, ends.tolist(), strict=True)
    ]
    found = [graph.op("ArgMax", part, axis=1, keepdims=1) for part in parts]
    named = [labels(graph, index, known) for index, known in zip(found, classes, strict=True)]
    return graph.op("Concat", *named, axis=1)


def _answers(graph: Graph, model: Any, rows: Table) -> str:
    """What comes out of the link: probabilities [N, classes], or values [N, targets]."""
    if _is_line(model):
        return str(_once(graph, ("line", id(model), rows), lambda: _line(graph, model, rows)))
    return str(_once(graph, ("answers", id(model), rows), lambda: _linked(graph, model, rows)))


def _once(graph: Graph, key: Any, write: Callable[[], Any]) -> Any:
    """What ``write`` gives, written into the graph once."""
    if key not in graph.borrowed:
        graph.borrowed[key] = write()
    return graph.borrowed[key]


def _linked(graph: Graph, model: Any, rows: Table) -> str:
    grown, raw = _sums(graph, model, rows)
    if grown.two_sided:
        return _two_sided(graph, raw, grown.link, grown.scale)
    scaled = raw if grown.scale == 1 else graph.op("Mul", raw, grown.scale)
    return graph.op(_LINKS[grown.link], scaled) if grown.link in _LINKS else scaled


def _decision(graph: Graph, model: Any, rows: Table) -> str:
    """What goes into the link, [N, 1] for two classes."""
    return _sums(graph, model, rows)[1]


def _sums(graph: Graph, model: Any, rows: Table) -> tuple[Grown, str]:
    def write() -> tuple[Grown, str]:
        grown = _told(model, read)
        whole = grown.ensemble.with_base(grown.base)
        attributes = classic.attributes(whole, average=grown.average)
        taken = floored if type(model).__name__.startswith(_IN_FLOAT64) else floats
        x = _prepared(graph, grown, taken(graph, rows))
        return grown, graph.op(classic.NAME, x, domain=ML, **attributes)

    made: tuple[Grown, str] = _once(graph, ("sums", id(model), rows), write)
    return made


def _two_sided(graph: Graph, raw: str, link: Link, scale: float = 1.0) -> str:
    """Two classes from what is said of the second, [N, 1]: one operator gives both columns."""
    if link == "sigmoid":
        return graph.op("Sigmoid", graph.op("Mul", raw, np.array([[-scale, scale]], np.float32)))
    return graph.op("Gemm", raw, np.array([[-1, 1]], np.float32), np.array([1, 0], np.float32))


def _is_line(model: Any) -> bool:
    """Whether it is of a library of trees, and has none."""
    return type(model).__module__.startswith("xgboost.") and xgboost.is_linear(model)


def _line(graph: Graph, model: Any, rows: Table) -> str:
    """A gblinear booster; missing values add nothing."""
    x = floats(graph, rows)
    weights, base = _told(model, xgboost.linear)
    link = _told(model, lambda given: xgboost.link_of(xgboost.learner_of(given)))
    present = graph.op("Where", graph.op("IsNaN", x), 0.0, x)
    raw = graph.op("Add", graph.op("MatMul", present, weights), base)
    if getattr(model, "n_classes_", 0) == 2:
        return _two_sided(graph, raw, link)
    return graph.op(_LINKS[link], raw) if link in _LINKS else raw


def _told(model: Any, ask: Callable[[Any], T]) -> T:
    """What ``ask`` says of the model; a refusal names it."""
    try:
        return ask(model)
    except UnsupportedModel as error:
        raise UnsupportedModel(f"{type(model).__name__}: {error}") from error


def _prepared(graph: Graph, grown: Grown, x: str) -> str:
    """Numbers of categories made whole, and those that count as missing made so."""
    if grown.whole:
        coded = np.isin(np.arange(grown.ensemble.width), grown.whole)[None]
        whole = graph.op("Floor", x if grown.rounding == "floor" else graph.op("Abs", x))
        if grown.rounding == "trunc":
            whole = graph.op("Mul", whole, graph.op("Sign", x))
        x = graph.op("Where", coded, whole, x)
    if grown.absent is not None:
        low, high = (np.array(edge, np.float32) for edge in grown.absent)
        inside = graph.op(
            "And", graph.op("GreaterOrEqual", x, low), graph.op("LessOrEqual", x, high)
        )
        x = graph.op("Where", inside, np.array(np.nan, np.float32), x)
    return x


def _oddity(graph: Graph, model: Any, rows: Table) -> str:
    """``decision_function`` of an isolation forest: below zero is an outlier."""
    return graph.op("Sub", -float(model.offset_), _answers(graph, model, rows))


def _inlier(graph: Graph, model: Any, rows: Table) -> str:
    odd = graph.op("Less", flat(graph, _oddity(graph, model, rows)), 0.0)
    return graph.op("Where", odd, -1, 1)


for _library, _name in READERS:
    form("predict", _name, library=_library)(_predict)
    form("predict_proba", _name, library=_library)(_answers)

for _name in (
    "GradientBoostingClassifier",
    "HistGradientBoostingClassifier",
):
    form("decision_function", _name)(_decision)

form("predict", "IsolationForest")(_inlier)
form("decision_function", "IsolationForest")(_oddity)
