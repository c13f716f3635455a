"""Nodes that skl2onnx writes, one estimator at a time, put into our graph.

For estimators that have no lowering of ours. The functions mirror those of the registry, and take
the same arguments.
"""

from __future__ import annotations

import warnings
from typing import Any, Final

import numpy as np

from converters.errors import UnsupportedModel
from converters.lowering.graph import BOOL, DOUBLE, FLOAT, INT64, ML, ML_OPSET, OPSET, STRING, Graph
from converters.lowering.table import Block, Table, floats, merged

MIXED: Final = {"OneHotEncoder", "OrdinalEncoder", "TargetEncoder"}
"""Estimators that look at each column by itself, whatever its type."""


def transform(estimator: Any, graph: Graph, rows: Table) -> Table:
    """Write ``estimator.transform`` as skl2onnx has it.

    Args:
        estimator: a fitted transformer.
        graph: the graph to write into.
        rows: columns [N, features] that it gets.

    Raises:
        UnsupportedModel: skl2onnx does not know it either.
    """
    outputs, values = _export(estimator, graph, rows, None)
    return Table(tuple(_block(x, v) for x, v in zip(outputs[:1], values[:1], strict=True)))


def predict(estimator: Any, graph: Graph, rows: Table) -> str:
    """Write ``estimator.predict`` as skl2onnx has it: labels [N] or values [N, targets].

    Args:
        estimator: a fitted classifier, regressor or clusterer.
        graph: the graph to write into.
        rows: columns [N, features] that it gets.

    Raises:
        UnsupportedModel: skl2onnx does not know it either.
    """
    outputs, values = _export(estimator, graph, rows, _plain(estimator))
    from sklearn.base import is_regressor

    dims = values[0].type.tensor_type.shape.dim
    if is_regressor(estimator) or (len(dims) == 1 and hasattr(estimator, "classes_")):
        return outputs[0]
    return graph.op("Reshape", outputs[0], np.array([-1], np.int64))


def probabilities(estimator: Any, graph: Graph, rows: Table) -> str:
    """Write ``estimator.predict_proba`` as skl2onnx has it: [N, classes].

    Args:
        estimator: a fitted classifier.
        graph: the graph to write into.
        rows: columns [N, features] that it gets.

    Raises:
        UnsupportedModel: skl2onnx does not know it either, or gives no probabilities.
    """
    outputs, _ = _export(estimator, graph, rows, _plain(estimator))
    if len(outputs) < 2:
        raise UnsupportedModel(f"{type(estimator).__name__}: the exporter gives no probabilities")
    return outputs[1]


def decision(estimator: Any, graph: Graph, rows: Table) -> str:
    """Write ``estimator.decision_function`` as skl2onnx has it: [N, 1] or [N, classes].

    Args:
        estimator: a fitted classifier or outlier detector.
        graph: the graph to write into.
        rows: columns [N, features] that it gets.

    Raises:
        UnsupportedModel: skl2onnx does not know it either.
    """
    from sklearn.base import is_outlier_detector

    if is_outlier_detector(estimator):
        scores = _export(estimator, graph, rows, None)[0][1]
        return graph.op("Reshape", scores, np.array([-1, 1], np.int64))
    outputs, _ = _export(estimator, graph, rows, {"raw_scores": True, "zipmap": False})
    if len(getattr(estimator, "classes_", ())) == 2:
        # Both classes' scores come out; decision_function has the second's alone.
        return graph.op("Gather", outputs[1], np.array([-1], np.int64), axis=1)
    return outputs[1]


def _plain(estimator: Any) -> dict[str, Any] | None:
    return {"zipmap": False} if hasattr(estimator, "classes_") else None


def _export(
    estimator: Any, graph: Graph, rows: Table, options: dict[str, Any] | None
) -> tuple[list[str], Any]:
    table = _inputs(estimator, graph, rows)
    key = (id(estimator), table, repr(options))
    written = graph.cache.get(key)
    if written is None:
        proto = _proto(estimator, table, options)
        feeds = {f"i{n}": block.tensor for n, block in enumerate(table.blocks)}
        values = list(proto.graph.output)
        written = graph.cache[key] = graph.inline(proto, feeds), values
    return written


def _inputs(estimator: Any, graph: Graph, rows: Table) -> Table:
    if type(estimator).__name__ in MIXED or not rows.numeric:
        return merged(graph, rows)
    return Table.of(floats(graph, rows), rows.width)


def _proto(estimator: Any, table: Table, options: dict[str, Any] | None) -> Any:
    from skl2onnx import to_onnx

    arguments: dict[str, Any] = {
        "initial_types": [(f"i{n}", _type(block)) for n, block in enumerate(table.blocks)],
        "target_opset": {"": OPSET, ML: ML_OPSET},
    }
    name = type(estimator).__name__
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return to_onnx(
                    estimator, options={id(estimator): options} if options else None, **arguments
                )
            except NameError:  # how the exporter says that this estimator has no such option
                if options and "raw_scores" in options:
                    raise
                return to_onnx(estimator, **arguments)
    except Exception as error:
        raise UnsupportedModel(f"{name}: {_reason(name, error)}") from error


def _reason(name: str, error: Exception) -> str:
    from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator

    if isinstance(error, MissingConverter | MissingShapeCalculator):
        return "has no conversion to ONNX"
    first = str(error).split(" You may raise an issue")[0].strip().splitlines()
    return f"cannot be expressed in ONNX; {first[0] if first else type(error).__name__}"[:300]


def _type(block: Block) -> Any:
    from skl2onnx.common import data_types as types

    kinds = {
        FLOAT: types.FloatTensorType,
        DOUBLE: types.DoubleTensorType,
        INT64: types.Int64TensorType,
        STRING: types.StringTensorType,
        BOOL: types.BooleanTensorType,
    }
    return kinds[block.kind]([None, block.width])


def _block(tensor: str, value: Any) -> Block:
    kind = value.type.tensor_type
    dims = kind.shape.dim
    width = dims[1].dim_value if len(dims) > 1 else 1
    return Block(tensor, kind.elem_type, width)
