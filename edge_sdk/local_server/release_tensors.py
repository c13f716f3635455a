"""Tensors of the protocol to what a device predicts from, and predictions back to tensors.

Invariants:

* A request of one row is answered by ``predict`` and one of several by ``predict_batch``, as an
  application in this process would ask.
* Outputs have the names that the release has. A classifier whose file gives no label has one
  output more, ``label``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.dtypes import STRING, Dtype
from edge_sdk.local_server.datatypes import DATATYPES
from edge_sdk.local_server.refusal import BAD_REQUEST, RequestRefused

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import Label, Manifest, OutputSpec, TensorSpec
    from edge_sdk.model.prediction import BatchPrediction, Prediction, RankedItems

LABEL: Final = "label"
PLATFORM: Final = "onnxruntime_onnx"
_ANSWERS: Final = ("label", "probabilities", "scores", "value")
"""Roles of outputs that a prediction is read from, where a release has any of them."""


class OutputTensor(NamedTuple):
    """One output of an answer; ``array`` has the axis of the rows."""

    name: str
    datatype: str
    array: NDArray[Any]


class ReleaseTensors:
    """Inputs and outputs of one release, as the protocol sees them.

    Args:
        manifest: of the release.

    Attributes:
        manifest: the same.
        inputs: what the application passes, by name.
        stateful: True if inputs form sequences.
        row_dtype: of the only input, if that is a row of numbers; else ``None``.
        outputs: names of what an answer may hold.
    """

    def __init__(self, manifest: Manifest) -> None:
        signature = manifest.signature
        self.manifest = manifest
        self.inputs: dict[str, TensorSpec] = {s.name: s for s in signature.application_inputs}
        self.stateful = bool(signature.state)
        self._batched = signature.batched
        self._columns = signature.columns
        self._row_tensor = _row_tensor(manifest)
        self.row_dtype = _row_dtype(self.inputs.get(self._row_tensor or ""))
        self._label_dtype = _label_dtype(signature.classes, signature.output("label"))
        self._outputs = _shown_outputs(manifest)
        own_label = any(spec.role == "label" for spec in self._outputs)
        # Without a label in the file a client would have to know the order of the classes.
        self._adds_label = (
            not own_label
            and signature.output("probabilities") is not None
            and LABEL not in {spec.name for spec in signature.outputs}
        )
        self._datatypes = {s.name: DATATYPES[self._output_dtype(s)] for s in self._outputs}
        if self._adds_label:
            self._datatypes[LABEL] = DATATYPES[self._label_dtype]
        self.outputs = tuple(self._datatypes)

    def metadata(self) -> dict[str, Any]:
        """Return the model's metadata; ``classes`` and ``features`` are ours."""
        manifest = self.manifest
        shapes = {spec.name: self._shape(spec) for spec in self._outputs}
        outputs = [
            {"name": name, "datatype": datatype, "shape": shapes.get(name, [-1])}
            for name, datatype in self._datatypes.items()
        ]
        return {
            "name": manifest.model,
            "versions": [manifest.version],
            "platform": PLATFORM,
            "inputs": [
                {"name": s.name, "datatype": DATATYPES[s.dtype], "shape": self._shape(s)}
                for s in self.inputs.values()
            ],
            "outputs": outputs,
            "task": manifest.task,
            "classes": list(manifest.signature.classes),
            "features": [column.name for column in self._columns],
        }

    def application_input(self, tensors: Mapping[str, NDArray[Any]]) -> tuple[Any, int]:
        """Return what ``predict`` takes, or ``predict_batch`` for any number of rows but one; and
        that number.

        Raises:
            RequestRefused: an input is missing, or has not the axes that the release declares.
        """
        for name in self.inputs:
            if name not in tensors:
                raise RequestRefused(BAD_REQUEST, f"inputs: expected {name!r}, which is not there")
            self._check_axes(name, tensors[name])
        rows = self._rows(tensors)
        if not self._columns:
            return dict(tensors), rows
        if self._row_tensor is not None:
            array = tensors[self._row_tensor]
            return (array.reshape(-1) if rows == 1 else array), rows
        return self._by_column(tensors, rows), rows

    def of_prediction(self, p: Prediction) -> list[OutputTensor]:
        """Return the outputs of one answer; what it does not have (a pack may lack some) is left
        out.
        """
        if p.ranked is not None:
            return _ranked(p.ranked)
        parts = {spec.name: self._part(spec, p) for spec in self._outputs}
        if self._adds_label:
            parts[LABEL] = self._label(p)
        return self._named(parts)

    def of_batch(self, batch: BatchPrediction) -> list[OutputTensor]:
        """Return the outputs of several answers."""
        parts: dict[str, NDArray[Any] | None] = {}
        for spec in self._outputs:
            array = batch.outputs.get(spec.name)
            if array is None and spec.role == "label":
                array = batch.labels
            parts[spec.name] = None if array is None else np.moveaxis(array, 0, spec.batch)
        if self._adds_label:
            parts[LABEL] = batch.labels
        return self._named(parts)

    def _named(self, parts: Mapping[str, NDArray[Any] | None]) -> list[OutputTensor]:
        return [
            OutputTensor(name, self._datatypes[name], array)
            for name, array in parts.items()
            if array is not None
        ]

    def _part(self, spec: OutputSpec, p: Prediction) -> NDArray[Any] | None:
        if spec.role == "label":
            return self._label(p)
        if spec.role in ("probabilities", "scores"):
            scores = p.probabilities
            return None if scores is None else np.asarray(scores, spec.dtype)[None]
        if spec.role == "value":
            if p.value is None:
                return None
            values = np.asarray(p.value, spec.dtype).reshape(-1)
            return values if len(spec.shape) == 1 else values[None]
        array = p.outputs.get(spec.name)
        if array is None or not self._batched:
            return None if array is None else np.asarray(array)
        return np.expand_dims(array, spec.batch)

    def _label(self, p: Prediction) -> NDArray[Any] | None:
        if p.label is None:
            return None
        return np.array([p.label], object if self._label_dtype == STRING else self._label_dtype)

    def _output_dtype(self, spec: OutputSpec) -> Dtype:
        return self._label_dtype if spec.role == "label" else spec.dtype

    def _shape(self, spec: TensorSpec | OutputSpec) -> list[int]:
        rows = spec.batch if self._batched else None
        return [-1 if n is None or i == rows else n for i, n in enumerate(spec.shape)]

    def _check_axes(self, name: str, array: NDArray[Any]) -> None:
        spec = self.inputs[name]
        axes = len(spec.shape)
        # One row may come without its axis, as in-process; the schema says more about sizes.
        if array.ndim != axes and not (self._batched and array.ndim == axes - 1):
            raise RequestRefused(
                BAD_REQUEST,
                f"input {name!r}: expected shape {self._shape(spec)}, got {list(array.shape)}",
            )

    def _rows(self, tensors: Mapping[str, NDArray[Any]]) -> int:
        """Return the number of rows, 1 for a model that takes one input at a time."""
        if not self._batched:
            return 1
        counts = {
            tensors[spec.name].shape[spec.batch]
            if tensors[spec.name].ndim == len(spec.shape)
            else 1
            for spec in self.inputs.values()
        }
        if len(counts) != 1:
            raise RequestRefused(
                BAD_REQUEST, f"inputs: expected as many rows each, got {sorted(counts)}"
            )
        rows = counts.pop()
        # Rows of no values cost a client nothing, however many it says that there are.
        if rows > 1 and not all(tensors[name].size for name in self.inputs):
            raise RequestRefused(BAD_REQUEST, f"inputs: expected values, got {rows} rows of none")
        return rows

    def _by_column(self, tensors: Mapping[str, NDArray[Any]], rows: int) -> dict[str, Any]:
        whole = {name: array if array.ndim > 1 else array[None] for name, array in tensors.items()}
        for column in self._columns:
            if whole[column.tensor].shape[1] <= column.index:
                raise RequestRefused(
                    BAD_REQUEST,
                    f"input {column.tensor!r}: expected shape "
                    f"{self._shape(self.inputs[column.tensor])}, got "
                    f"{list(tensors[column.tensor].shape)}",
                )
        cells = {c.name: whole[c.tensor][:, c.index] for c in self._columns}
        return {n: v.tolist()[0] for n, v in cells.items()} if rows == 1 else cells


def _row_tensor(manifest: Manifest) -> str | None:
    """Return the input whose row ``predict`` takes as it is: the only one, its columns in order."""
    signature = manifest.signature
    in_order = [column.index for column in signature.columns] == list(range(len(signature.columns)))
    only = len(signature.inputs) == 1 and in_order
    return signature.inputs[0].name if only else None


def _row_dtype(spec: TensorSpec | None) -> np.dtype[Any] | None:
    return None if spec is None or spec.dtype == STRING else np.dtype(spec.dtype)


def _shown_outputs(manifest: Manifest) -> list[OutputSpec]:
    """Return the outputs that a prediction shows."""
    signature = manifest.signature
    hidden = {link.output for link in signature.state}
    answers = [spec for spec in signature.outputs if spec.role in _ANSWERS]
    if answers:
        return answers
    return [s for s in signature.outputs if s.role != "embedding" and s.name not in hidden]


def _label_dtype(classes: tuple[Label, ...], label: OutputSpec | None) -> Dtype:
    if classes:
        return "int64" if all(isinstance(each, int) for each in classes) else STRING
    return label.dtype if label is not None else STRING


def _ranked(ranked: RankedItems) -> list[OutputTensor]:
    items = np.empty((1, len(ranked.items)), object)
    items[0, :] = ranked.items
    outputs = [OutputTensor("items", "BYTES", items)]
    if ranked.scores:
        scores = np.array([ranked.scores], np.float32)
        outputs.append(OutputTensor("scores", "FP32", scores))
    return outputs
