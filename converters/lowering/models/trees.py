"""Tree ensembles: one operator for all trees, plain operators for the link and the labels after."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, TypeVar

import numpy as np

from converters.errors import UnsupportedModel
from converters.lowering.graph import DOUBLE, ML, Graph
from converters.lowering.maths import doubles
from converters.lowering.registry import flat, labels, lowers
from converters.lowering.table import Table, floats, pick, side_by_side
from converters.lowering.transformers.encoders import look_up
from converters.trees import classic, xgboost
from converters.trees.categories import coded_columns
from converters.trees.floats import exact
from converters.trees.readers import READERS, compares_float64, read
from converters.trees.tree_model import Link, TreeModel

T = TypeVar("T")
_LINKS: Final[dict[Link, str]] = {"sigmoid": "Sigmoid", "softmax": "Softmax", "exp": "Exp"}


def _lower_tree_predictions(estimator: Any, graph: Graph, rows: Table) -> str:
    """Return labels [N], of several classified columns [N, columns]; or values [N, targets]."""
    answers = _lower_tree_outputs(estimator, graph, rows)
    if not hasattr(estimator, "predict_proba"):
        return answers
    classes = estimator.classes_
    if not isinstance(classes, list):
        return labels(graph, graph.op("ArgMax", answers, axis=1, keepdims=0), classes)
    ends = np.cumsum([len(names) for names in classes])
    parts = [
        graph.op("Gather", answers, np.arange(end - len(names), end), axis=1)
        for names, end in zip(classes, ends.tolist(), strict=True)
    ]
    indices = [graph.op("ArgMax", part, axis=1, keepdims=1) for part in parts]
    named = [labels(graph, index, names) for index, names in zip(indices, classes, strict=True)]
    return graph.op("Concat", *named, axis=1)


def _lower_tree_outputs(estimator: Any, graph: Graph, rows: Table) -> str:
    """Return the outputs of the link: probabilities [N, classes], or values [N, targets]."""
    write = _linear_booster if _is_linear_booster(estimator) else _apply_link
    # Both predict and predict_proba ask for them: the trees are walked once.
    key = (write, id(estimator), rows)
    return str(_write_once(graph, key, lambda: write(estimator, graph, rows)))


def _write_once(graph: Graph, key: Any, write: Callable[[], Any]) -> Any:
    """Return what ``write`` returns; it writes into the graph the first time only."""
    if key not in graph.cache:
        graph.cache[key] = write()
    return graph.cache[key]


def _apply_link(estimator: Any, graph: Graph, rows: Table) -> str:
    model, raw = _raw_sums(estimator, graph, rows)
    if model.two_sided:
        return _two_sided(graph, raw, model.link, model.scale)
    scaled = raw if model.scale == 1 else graph.op("Mul", raw, model.scale)
    return graph.op(_LINKS[model.link], scaled) if model.link in _LINKS else scaled


def _lower_tree_decision(estimator: Any, graph: Graph, rows: Table) -> str:
    """Return the sums before the link, [N, 1] for two classes."""
    return _raw_sums(estimator, graph, rows)[1]


def _raw_sums(estimator: Any, graph: Graph, rows: Table) -> tuple[TreeModel, str]:
    def write() -> tuple[TreeModel, str]:
        coded = _coded(estimator, graph, rows)
        apart = compares_float64(estimator) and not _is_narrow(graph, coded)
        model = _naming_estimator(
            estimator, lambda trees: read(trees, exact if apart else graph.rounding)
        )
        # Rows and sums in float64: where rows need it, or answers the digits of the sums.
        wide = apart or graph.exact
        whole = model.ensemble.with_base(model.base)
        if wide:
            whole = replace(whole, threshold=whole.threshold.astype(np.float64))
        attributes = classic.attributes(whole, average=model.average)
        columns = doubles(graph, coded) if apart else floats(graph, coded)
        columns = graph.cast(columns, DOUBLE) if wide and not apart else columns
        x = _prepared(graph, model, columns, np.float64 if wide else np.float32)
        return model, graph.op(classic.NAME, x, domain=ML, **attributes)

    sums: tuple[TreeModel, str] = _write_once(graph, ("sums", id(estimator), rows), write)
    return sums


def _coded(estimator: Any, graph: Graph, rows: Table) -> Table:
    """Return the columns with codes in the place of categories that the library codes itself."""
    coded = _naming_estimator(estimator, coded_columns)
    if not coded:
        return rows
    tables = []
    for i in range(rows.width):
        one = pick(graph, rows, [i])
        if i in coded:
            codes = np.arange(len(coded[i]), dtype=np.float32)
            one = Table.of(look_up(graph, one.blocks[0], coded[i], codes, np.nan), 1)
        tables.append(one)
    return side_by_side(tables)


def _is_narrow(graph: Graph, rows: Table) -> bool:
    """Return True if float32 holds what is in all columns."""
    return all(block.kind != DOUBLE or block.tensor in graph.narrow for block in rows.blocks)


def _two_sided(graph: Graph, raw: str, link: Link, scale: float = 1.0) -> str:
    """Return [N, 2] from the raw score of the second class [N, 1], by one operator."""
    if link == "sigmoid":
        return graph.op("Sigmoid", graph.op("Mul", raw, np.array([[-scale, scale]], np.float32)))
    return graph.op("Gemm", raw, np.array([[-1, 1]], np.float32), np.array([1, 0], np.float32))


def _is_linear_booster(estimator: Any) -> bool:
    """Return True for a booster of weights (gblinear), which has no trees."""
    return type(estimator).__module__.startswith("xgboost.") and xgboost.is_linear(estimator)


def _linear_booster(estimator: Any, graph: Graph, rows: Table) -> str:
    """Write a gblinear booster; missing values add nothing."""
    x = floats(graph, rows)
    weights, base = _naming_estimator(estimator, xgboost.linear)
    link = _naming_estimator(estimator, _booster_link)
    present = graph.op("Where", graph.op("IsNaN", x), 0.0, x)
    raw = graph.op("Add", graph.op("MatMul", present, weights), base)
    if getattr(estimator, "n_classes_", 0) == 2:
        return _two_sided(graph, raw, link)
    return graph.op(_LINKS[link], raw) if link in _LINKS else raw


def _booster_link(estimator: Any) -> Link:
    return xgboost.link_of(xgboost.learner_of(estimator))


def _naming_estimator(estimator: Any, read_model: Callable[[Any], T]) -> T:
    """Return ``read_model(estimator)``; a refusal names the estimator."""
    try:
        return read_model(estimator)
    except UnsupportedModel as error:
        raise UnsupportedModel(f"{type(estimator).__name__}: {error}") from error


def _prepared(graph: Graph, model: TreeModel, x: str, dtype: Any = np.float32) -> str:
    """Make numbers of categories whole, and those that count as missing NaN: [N, width]."""
    if model.whole:
        coded = np.isin(np.arange(model.ensemble.width), model.whole)[None]
        whole = graph.op("Floor", x if model.rounding == "floor" else graph.op("Abs", x))
        if model.rounding == "trunc":
            whole = graph.op("Mul", whole, graph.op("Sign", x))
        x = graph.op("Where", coded, whole, x)
    if model.absent is not None:
        low, high = (np.array(edge, dtype) for edge in model.absent)
        inside = graph.op(
            "And", graph.op("GreaterOrEqual", x, low), graph.op("LessOrEqual", x, high)
        )
        x = graph.op("Where", inside, np.array(np.nan, dtype), x)
    return x


def _lower_isolation_decision(estimator: Any, graph: Graph, rows: Table) -> str:
    """Write ``decision_function`` of an isolation forest: below zero is an outlier."""
    return graph.op("Sub", -float(estimator.offset_), _lower_tree_outputs(estimator, graph, rows))


def _lower_isolation_labels(estimator: Any, graph: Graph, rows: Table) -> str:
    odd = graph.op("Less", flat(graph, _lower_isolation_decision(estimator, graph, rows)), 0.0)
    return graph.op("Where", odd, -1, 1)


for _library, _name in READERS:
    lowers("predict", _name, library=_library)(_lower_tree_predictions)
    lowers("predict_proba", _name, library=_library)(_lower_tree_outputs)

for _name in (
    "GradientBoostingClassifier",
    "HistGradientBoostingClassifier",
):
    lowers("decision_function", _name)(_lower_tree_decision)

lowers("decision_function", "LGBMClassifier", library="lightgbm")(_lower_tree_decision)
lowers("predict", "IsolationForest")(_lower_isolation_labels)
lowers("decision_function", "IsolationForest")(_lower_isolation_decision)
