"""The samples of a file, and the axis of the rows of each tensor: declared, or established."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from converters.errors import ConversionError
from converters.sources.onnx_batch import (
    CLOSE,
    CLOSE_QUANTIZED,
    Axes,
    RowAxes,
    Run,
    Tensors,
    find_axes,
    refuse_random,
)
from converters.sources.onnx_file import nodes_of
from converters.sources.onnx_samples import Samples, checked, feeds_of, refuse_no_samples
from converters.sources.onnx_signature import (
    OnnxLayout,
    columns_of,
    input_specs,
    links_of,
    names_of,
    output_specs,
    symbols_of,
)
from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.manifest import Column, OutputSpec, Signature, TensorSpec
from edge_sdk.model.schema import InputSchema


def rows_of_file(run: Run, proto: Any, X: Any, layout: OnnxLayout) -> tuple[Samples, Axes | None]:
    """Return the samples, and the axis of the rows of each output; ``None`` without one in all.

    Args:
        run: runs the file as it came.
        proto: its ModelProto.
        X: samples as the caller gave them.
        layout: facts that the file does not say.

    Raises:
        ConversionError: samples or state that do not fit the file, a random model, or no rows
            where the caller says that there are.
        InputError: a value that does not fit.
    """
    inputs, outputs, links = input_specs(proto), output_specs(proto), links_of(layout)
    try:
        plain = Signature(inputs, outputs, (), (), False, links)
    except ContractError as error:
        raise ConversionError(
            f"{error}; the file has {names_of(inputs)} and {names_of(outputs)}"
        ) from error
    refuse_no_samples(plain.application_inputs, X)
    columns = () if layout.batched is False else columns_of(inputs, X)
    feeds = (
        (InputSchema(replace(plain, columns=columns)).batch(X),)
        if columns
        else feeds_of(plain.application_inputs, X)
    )
    quantized = any(node.op_type.startswith("DynamicQuantize") for node in nodes_of(proto))
    close = CLOSE_QUANTIZED if quantized else CLOSE
    tensors = Tensors(inputs, symbols_of(proto), links, close)
    rows = None
    if layout.batched is False:
        refuse_random(run, tensors, feeds[0])
    else:
        rows = find_axes(run, tensors, feeds)
    if rows is None and layout.batched:
        raise ConversionError(
            "batched=True: expected answers to three rows to be those to each alone; along no axis "
            "of the inputs they are. Leave batched out, or give batched=False"
        )
    samples = checked(Samples(feeds, _signature(plain, columns, rows)))
    return samples, None if rows is None else rows.axes


def _signature(plain: Signature, columns: tuple[Column, ...], rows: RowAxes | None) -> Signature:
    if rows is None:
        return plain
    axes = rows.axes
    inputs = tuple(_with_axis(spec, rows) for spec in plain.inputs)
    outputs = tuple(_with_output_axis(spec, axes) for spec in plain.outputs)
    rows_first = not any(axes.values())
    return replace(
        plain,
        inputs=inputs,
        outputs=outputs,
        # Packs, groups and profiles read rows of columns along the first axis.
        columns=columns if rows_first else (),
        batched=True,
    )


def _with_axis(spec: TensorSpec, rows: RowAxes) -> TensorSpec:
    if spec.name not in rows.axes:  # recurrent state
        return spec
    shape = (1, *spec.shape[1:]) if rows.one else spec.shape
    return replace(spec, shape=shape, batch=rows.axes[spec.name])


def _with_output_axis(spec: OutputSpec, axes: Axes) -> OutputSpec:
    axis = axes.get(spec.name, 0)
    # A file may declare fewer axes than its answers have, or none.
    shape = spec.shape if len(spec.shape) > axis or spec.name not in axes else (None,) * (axis + 1)
    return replace(spec, shape=shape, batch=axis)
