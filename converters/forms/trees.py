"""Models of trees: one operator for all of their trees, plain operators for what comes after."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from converters.forms.graph import ML, Graph
from converters.forms.registry import form, labels
from converters.forms.table import Table, floats
from converters.trees import classic
from converters.trees.grown import Grown, Link
from converters.trees.readers import READERS, read

_LINKS: Final[dict[Link, str]] = {"sigmoid": "Sigmoid", "softmax": "Softmax", "exp": "Exp"}


def _predict(graph: Graph, model: Any, rows: Table) -> str:
    """Labels [N], of several classified columns [N, columns]; or values [N, targets]."""
    answers, classes = _answers(graph, model, rows), getattr(model, "classes_", None)
    if classes is None:
        return answers
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
    key = ("answers", id(model), rows)
    if key not in graph.borrowed:
        grown, raw = _sums(graph, model, rows)
        graph.borrowed[key] = _linked(graph, grown, raw)
    return str(graph.borrowed[key])


def _linked(graph: Graph, grown: Grown, raw: str) -> str:
    if not grown.two_sided:
        scaled = raw if grown.scale == 1 else graph.op("Mul", raw, grown.scale)
        return graph.op(_LINKS[grown.link], scaled) if grown.link in _LINKS else scaled
    if grown.link == "sigmoid":
        signs = np.array([[-grown.scale, grown.scale]], np.float32)
        return graph.op("Sigmoid", graph.op("Mul", raw, signs))
    return graph.op("Concat", graph.op("Sub", 1.0, raw), raw, axis=1)


def _decision(graph: Graph, model: Any, rows: Table) -> str:
    """What goes into the link, [N, 1] for two classes."""
    return _sums(graph, model, rows)[1]


def _sums(graph: Graph, model: Any, rows: Table) -> tuple[Grown, str]:
    key = ("sums", id(model), rows)
    if key not in graph.borrowed:
        grown = read(model)
        attributes = classic.attributes(grown.ensemble.with_base(grown.base), average=grown.average)
        summed = graph.op(classic.NAME, floats(graph, rows), domain=ML, **attributes)
        graph.borrowed[key] = grown, summed
    found: tuple[Grown, str] = graph.borrowed[key]
    return found


for _library, _name in READERS:
    form("predict", _name, library=_library)(_predict)
    form("predict_proba", _name, library=_library)(_answers)
