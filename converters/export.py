"""Exporting to ONNX: pinned formats, plain outputs, deterministic bytes."""

from __future__ import annotations

import warnings
from typing import Any, Final

from converters.errors import ConversionError, UnsupportedModel
from converters.original import Original
from converters.rows import Rows
from converters.sklearn_repairs import parts_of, repaired
from edge_sdk.contract.manifest import OutputSpec

OPSET: Final = 18
ML_OPSET: Final = 3
IR_VERSION: Final = 10
"""The newest that onnxruntime 1.20 loads; what today's onnx writes by itself is refused there."""


def export(original: Original, rows: Rows) -> Any:
    """An ONNX ModelProto whose inputs are the tensors of ``rows``.

    Outputs are ``label`` and ``probabilities`` (``label`` alone where the original has no
    ``predict_proba``) for a classifier, ``value`` for a regressor.
    The same model gives the same bytes.

    Raises:
        UnsupportedModel: a step has no ONNX form.
    """
    from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator

    estimator = repaired(original.estimator)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            proto = _to_onnx(estimator, rows)
    except (MissingConverter, MissingShapeCalculator) as error:
        raise UnsupportedModel(_unsupported(original)) from error
    except Exception as error:
        first = str(error).split(" You may raise an issue")[0]
        raise UnsupportedModel(f"model: cannot be expressed in ONNX; {first}") from error
    _name_outputs(proto, original)
    clean(proto)
    return proto


def _to_onnx(estimator: Any, rows: Rows) -> Any:
    from skl2onnx import to_onnx

    wish = {
        "initial_types": _initial_types(rows),
        "target_opset": {"": OPSET, "ai.onnx.ml": ML_OPSET},
    }
    try:
        return to_onnx(estimator, options={id(estimator): {"zipmap": False}}, **wish)
    except NameError:  # how the exporter says that this estimator has no such option
        return to_onnx(estimator, **wish)


def clean(proto: Any) -> None:
    """Drop what is not the model: producer, comments, doubled opset imports; pin the IR version."""
    proto.producer_name = proto.producer_version = proto.domain = proto.doc_string = ""
    proto.model_version = 0
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


def output_specs(proto: Any, original: Original) -> tuple[OutputSpec, ...]:
    """What the outputs of :func:`export` mean."""
    width = len(original.classes)
    text = bool(original.classes) and isinstance(original.classes[0], str)
    specs = []
    for output in proto.graph.output:
        if output.name == "label":
            specs.append(OutputSpec("label", "string" if text else "int64", (None,), "label"))
        elif output.name == "probabilities":
            specs.append(OutputSpec("probabilities", "float32", (None, width), "probabilities"))
        elif output.name == "value":
            targets = output.type.tensor_type.shape.dim[1].dim_value or None
            specs.append(OutputSpec("value", "float32", (None, targets), "value"))
    return tuple(specs)


def _initial_types(rows: Rows) -> list[tuple[str, Any]]:
    from skl2onnx.common.data_types import (
        BooleanTensorType,
        FloatTensorType,
        Int64TensorType,
        StringTensorType,
    )

    kinds = {
        "float32": FloatTensorType,
        "int64": Int64TensorType,
        "string": StringTensorType,
        "bool": BooleanTensorType,
    }
    return [(spec.name, kinds[spec.dtype](list(spec.shape))) for spec in rows.tensors]


def _name_outputs(proto: Any, original: Original) -> None:
    """Give the outputs our names, whatever the exporter called them.

    Scores of classifiers without probabilities are dropped: nothing holds them to the original.
    """
    if original.task == "regression":
        wanted = ["value"]
    else:
        wanted = ["label", "probabilities" if original.has_probabilities else "scores"]
    found = [output.name for output in proto.graph.output]
    if len(found) != len(wanted):
        raise ConversionError(f"model: expected the outputs {wanted}, the export has {found}")
    renamed = dict(zip(found, wanted, strict=True))
    taken = {n for node in proto.graph.node for n in (*node.input, *node.output)} - set(found)
    for name in taken & set(wanted):
        renamed[name] = f"{name}_inner"
    for node in proto.graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    for value in (*proto.graph.output, *proto.graph.initializer):
        value.name = renamed.get(value.name, value.name)
    kept = [value for value in proto.graph.output if value.name != "scores"]
    del proto.graph.output[:]
    proto.graph.output.extend(kept)


def _unsupported(original: Original) -> str:
    """Which steps have no converter, and what to do instead."""
    from skl2onnx import supported_converters

    known = {name.removeprefix("Sklearn") for name in supported_converters()}
    names = [type(part).__name__ for part in parts_of(original.estimator)]
    unknown = [n for n in names if n not in (*known, "Pipeline", "ColumnTransformer")]
    named = ", ".join(dict.fromkeys(unknown)) or names[0]
    return (
        f"model: no ONNX form for {named}; replace the step by one that has a form "
        "(for example StandardScaler, OneHotEncoder, LogisticRegression, MLPClassifier, "
        "RandomForestClassifier), or export it yourself and convert the .onnx file"
    )
