"""The signature of an ONNX file that somebody exported: its tensors, and what they mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from converters.errors import ConversionError
from edge_sdk.contract.dtypes import BY_ELEMENT
from edge_sdk.contract.manifest import Column, OutputSpec, StateLink, TensorSpec

OutputKind = Literal["logits", "probabilities", "multilabel", "multilabel-logits", "values"]
"""Meaning of an output: scores before a softmax, or after it; the probability of each class for
itself, or its logit before a sigmoid; numbers."""

KINDS: Final[tuple[OutputKind, ...]] = get_args(OutputKind)


@dataclass(frozen=True)
class OnnxLayout:
    """Facts about an ``.onnx`` file that the file itself does not say.

    Attributes:
        output: meaning of the output that answers, or of several by name. ``None`` infers it only
            where the answers leave no doubt: probabilities if all rows sum to 1, logits if some lie
            outside [0, 1] and ``y`` has one class for each row.
        classes: labels in the order of the columns of that output; ``None`` takes those of ``y``.
        threshold: score from which a class of a multilabel model is given.
        state: for recurrent models: input name to the output whose value it gets in the next call;
            devices begin with zeros.
        batched: False if the model takes one input at a time; ``None`` finds out, by running one
            row and three, along which axes the rows are.
        kinds: what input tensors hold, by name (``image``, ``audio``, ``tokens``, ``series``,
            ``text`` or ``tensor``), where it is not what their shapes suggest. Monitoring watches
            such inputs by a few statistics, and takes none of them for a table.
        embedding: the vector whose principal directions are watched: the name of an output or of an
            inner tensor; ``None``: the input of a classifier's last layer, else the first output
            that is a vector; ``False``: none.
    """

    classes: Sequence[Any] | None = None
    state: Mapping[str, str] = field(default_factory=dict)
    batched: bool | None = None
    output: OutputKind | Mapping[str, OutputKind] | None = None
    threshold: float = 0.5
    kinds: Mapping[str, str] = field(default_factory=dict)
    embedding: str | Literal[False] | None = None

    def __post_init__(self) -> None:
        self._check_output()
        if self.batched is not None and not isinstance(self.batched, bool):
            raise ConversionError(
                f"batched: expected True, False or None, got {self.batched!r:.60}"
            )
        classes = self.classes
        if classes is not None and (isinstance(classes, str) or not hasattr(classes, "__len__")):
            raise ConversionError(f"classes: expected a list of labels, got {classes!r:.60}")
        tolist = getattr(classes, "tolist", None)  # arrays have no truth value, and own types
        if tolist is not None:
            object.__setattr__(self, "classes", tolist())
        if not isinstance(self.state, Mapping):
            raise ConversionError(
                f"state: expected names of outputs by the input that they feed, such as "
                f'{{"h_in": "h_out"}}; got {self.state!r:.60}'
            )
        self._check_watched()

    def _check_watched(self) -> None:
        if not isinstance(self.kinds, Mapping):
            raise ConversionError(
                f'kinds: expected kinds by the name of an input, such as {{"x": "image"}}; got '
                f"{self.kinds!r:.60}"
            )
        none = self.embedding is None or self.embedding is False
        if not none and not isinstance(self.embedding, str):
            raise ConversionError(
                "embedding: expected the name of a tensor, or False for none; got "
                f"{self.embedding!r:.60}"
            )

    def _check_output(self) -> None:
        given = self.output
        kinds = list(given.values()) if isinstance(given, Mapping) else [given]
        if given is not None and not (kinds and all(kind in KINDS for kind in kinds)):
            raise ConversionError(
                f"output: expected one of {', '.join(KINDS)}, or one of them by the name of each "
                f'output, such as {{"y": "logits"}}; got {given!r:.60}'
            )
        is_number = isinstance(self.threshold, int | float)
        if not is_number or not 0 < self.threshold < 1:
            raise ConversionError(
                f"threshold: expected a number between 0 and 1, got {self.threshold!r:.60}"
            )


def links_of(layout: OnnxLayout) -> tuple[StateLink, ...]:
    """Return the declared recurrent state."""
    return tuple(StateLink(name, output) for name, output in layout.state.items())


def input_specs(proto: Any) -> tuple[TensorSpec, ...]:
    """Return the inputs that a caller gives: constants with a default are not asked of the app.

    Raises:
        ConversionError: tensors of an unknown type.
    """
    constants = {tensor.name for tensor in proto.graph.initializer}
    return tuple(_spec(value) for value in proto.graph.input if value.name not in constants)


def output_specs(proto: Any) -> tuple[OutputSpec, ...]:
    """Return the outputs as the file declares them, without a role.

    Raises:
        ConversionError: tensors of an unknown type.
    """
    specs = map(_spec, proto.graph.output)
    return tuple(OutputSpec(spec.name, spec.dtype, spec.shape) for spec in specs)


def symbols_of(proto: Any) -> dict[str, list[str | None]]:
    """Return the names of the open dimensions of each input."""
    return {
        value.name: [dim.dim_param or None for dim in value.type.tensor_type.shape.dim]
        for value in proto.graph.input
    }


def width_of(inputs: Sequence[TensorSpec]) -> int | None:
    """Return the number of features of a model with one table as input; ``None`` for others."""
    shape = inputs[0].shape if len(inputs) == 1 else ()
    return shape[1] if len(shape) == 2 else None


def columns_of(inputs: Sequence[TensorSpec], X: Any) -> tuple[Column, ...]:
    """Return the columns of a model with one table as input; none for others, or for feeds.

    Args:
        inputs: of the model.
        X: samples; a DataFrame gives the columns their names.

    Raises:
        ConversionError: a DataFrame of another number of columns.
    """
    width = width_of(inputs)
    if not width or isinstance(X, list | tuple | Mapping):
        return ()
    first = inputs[0]
    named = [str(name) for name in X.columns] if hasattr(X, "columns") else None
    if named and len(named) != width:
        raise ConversionError(f"X: expected {width} columns, got a table of {len(named)}")
    names = named or [f"x{i}" for i in range(width)]
    return tuple(Column(names[i], first.dtype, first.name, i) for i in range(width))


def names_of(specs: Sequence[TensorSpec] | Sequence[OutputSpec]) -> list[str]:
    """Return the names of tensors."""
    return [spec.name for spec in specs]


def _spec(value: Any) -> TensorSpec:
    tensor = value.type.tensor_type
    # A ZipMap gives a sequence of maps, whose tensor_type is empty: element type 0.
    if tensor.elem_type not in BY_ELEMENT:
        raise ConversionError(
            f"{value.name}: expected a tensor of numbers, booleans or strings; "
            "a model with a ZipMap must be exported without it"
        )
    # dim_value is 0 where the dimension is open or has only a name; some exporters write -1.
    shape = tuple(dim.dim_value if dim.dim_value > 0 else None for dim in tensor.shape.dim)
    return TensorSpec(value.name, BY_ELEMENT[tensor.elem_type], shape)
