"""Exporting to ONNX: pinned formats, plain outputs, deterministic bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from converters import lowering
from converters.errors import UnsupportedModel
from converters.estimators.fitted_estimator import FittedEstimator
from converters.estimators.label_sets import in_pairs
from converters.estimators.sklearn_repairs import parts_of, repaired
from converters.lowering import registry
from converters.lowering.graph import DOUBLE, FLOAT, INT64, IR_VERSION, STRING, Graph
from converters.lowering.table import KINDS, Block, Table, floats
from converters.lowering.transformers.scalers import is_sharp
from converters.onnx_export.cleanup import tidy
from converters.samples.rows import Rows
from converters.trees.floats import at_most, nearest
from edge_sdk.contract.dtypes import BY_ELEMENT
from edge_sdk.contract.manifest import OutputSpec, Role

ADVICE: Final = (
    "replace them by steps that can be converted (for example StandardScaler, OneHotEncoder, "
    "LogisticRegression, MLPClassifier, RandomForestClassifier; docs/ESTIMATORS.md lists all), "
    "or export the model yourself and convert the .onnx file"
)


def export(original: FittedEstimator, rows: Rows, *, exact: bool = False) -> Any:
    """Return an ONNX ModelProto whose inputs are the tensors of ``rows``.

    Its outputs are those of :attr:`converters.estimators.fitted_estimator.FittedEstimator.methods`.
    The same model gives the same bytes.

    Args:
        original: the model.
        rows: some that it takes; their types are those of the inputs.
        exact: compute as the model does, in float64 where it does. Models that decide at
            thresholds are computed so in any case.

    Raises:
        UnsupportedModel: steps cannot be converted; the message lists all of them.
    """
    lowering.load()
    estimator = repaired(original.estimator)
    names = [type(part).__name__ for part in parts_of(estimator)]
    graph = Graph(
        faithful=is_sharp(names), exact=exact, rounding=nearest if rows.rounded else at_most
    )
    table = _input_table(graph, rows, original.names)
    try:
        tensors = {
            name: _LOWERINGS[method](estimator, graph, table)
            for name, method in original.methods.items()
        }
        if "scores" in tensors and in_pairs(original.estimator):
            # Of each pair of columns the second is the probability that the label is given.
            seconds = np.arange(1, 2 * len(original.classes), 2)
            tensors["scores"] = graph.op("Gather", tensors["scores"], seconds, axis=1)
    except UnsupportedModel as error:
        raise _refusal([*graph.problems, str(error)]) from error
    if graph.problems:
        raise _refusal(graph.problems)
    # Two rows through the model itself: its own outputs tell types and shapes.
    sample = original.answers(rows.take(np.arange(min(2, len(rows)))))
    outputs = {name: (tensors[name], *_typed(sample[name])) for name in tensors}
    inputs = [(t.name, KINDS[t.dtype], t.shape[1] or 1) for t in rows.tensors]
    proto = graph.model(inputs, outputs)
    _refuse_unread(proto, rows)
    clean(proto)
    tidy(proto)
    return proto


def _input_table(graph: Graph, rows: Rows, names: list[str] | None) -> Table:
    """Return the columns that the model gets, as its own library has them.

    float32 tensors of numbers that are not float32 to the user are cast, so that all that follows
    is computed in float64. Columns that no tensor holds keep their place under a name of no tensor.
    """
    if not rows.framed or rows.dense:
        (tensor,) = rows.tensors
        block = Block(tensor.name, KINDS[tensor.dtype], tensor.shape[1] or 1)
        single = tensor.dtype == "string" or rows.numbers().dtype == np.float32
        return Table((block if single else _cast(graph, block),))
    blocks = {}
    for i, column in enumerate(rows.columns):
        block = Block(column.tensor, KINDS[column.dtype], 1)
        blocks[column.name] = block if rows.is_single(i) else _cast(graph, block)
    order = names or list(map(str, rows.table.columns))
    return Table(tuple(blocks.get(name) or Block(UNREAD + name, STRING, 1) for name in order))


UNREAD: Final = "unread:"
"""Prefix of the names of columns that have no tensor."""


def _cast(graph: Graph, block: Block) -> Block:
    if not graph.faithful or block.kind != FLOAT:
        return block
    return Block(graph.widen(block.tensor), DOUBLE, block.width)


def _refuse_unread(proto: Any, rows: Rows) -> None:
    """Raise :class:`UnsupportedModel` if a node reads a column that no tensor holds."""
    for node in proto.graph.node:
        for name in node.input:
            if name.startswith(UNREAD):
                column = name.removeprefix(UNREAD)
                raise UnsupportedModel(
                    rows.unread.get(column, f"X: expected the column {column!r}, it is not there")
                )


def _transformed(estimator: Any, graph: Graph, table: Table) -> str:
    columns = registry.transform(estimator, graph, table)
    if not columns.numeric:
        raise UnsupportedModel(f"{type(estimator).__name__}: gives text, not numbers")
    return floats(graph, columns)


_LOWERINGS: Final[dict[str, Callable[[Any, Graph, Table], str]]] = {
    "predict": registry.predict,
    "predict_proba": registry.probabilities,
    "decision_function": registry.decision,
    "transform": _transformed,
}


def _typed(sample: NDArray[Any]) -> tuple[int, list[int]]:
    """Return element type and shape after the batch axis of an output, from the model's own."""
    kinds = {"f": FLOAT, "i": INT64, "O": STRING}
    return kinds[sample.dtype.kind], list(sample.shape[1:])


def _refusal(problems: list[str]) -> UnsupportedModel:
    listed = "; ".join(dict.fromkeys(problems))
    return UnsupportedModel(f"model: cannot be converted: {listed}. What to do: {ADVICE}")


def clean(proto: Any) -> None:
    """Drop producer, comments and doubled opset imports; pin the IR version.

    None of these is the model, and they would make equal models different files.
    """
    proto.producer_name = proto.producer_version = proto.domain = proto.doc_string = ""
    proto.model_version = 0
    # Newer IR versions are refused by older runtimes, and nothing here needs them.
    proto.ir_version = min(proto.ir_version, IR_VERSION)
    proto.graph.name = "model"
    proto.graph.doc_string = ""
    for node in proto.graph.node:
        node.doc_string = ""
    newest: dict[str, int] = {}
    for entry in proto.opset_import:
        newest[entry.domain] = max(entry.version, newest.get(entry.domain, 0))
    del proto.opset_import[:]
    for domain in sorted(newest):
        proto.opset_import.add(domain=domain, version=newest[domain])


def output_specs(proto: Any, original: FittedEstimator) -> tuple[OutputSpec, ...]:
    """Return name, type, shape and role of the outputs of :func:`export`."""
    specs = []
    for output in proto.graph.output:
        tensor = output.type.tensor_type
        shape = (None, *(dim.dim_value for dim in tensor.shape.dim[1:]))
        role: Role = "other" if original.task == "generic" else _ROLES[output.name]
        specs.append(OutputSpec(output.name, BY_ELEMENT[tensor.elem_type], shape, role))
    return tuple(specs)


_ROLES: Final[dict[str, Role]] = {
    "label": "label",
    "probabilities": "probabilities",
    "scores": "scores",
    "value": "value",
}
