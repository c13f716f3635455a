"""Columns of a table of predictions: what a person finds there, and the arrays behind them. Pure.

A *value* is an array [N] or [N, M] of the answers to N entities; a table has one column for each
of its M parts. Which values there are follows from the model's task and the job:

==============  ==========================================================================
classification  ``prediction`` [N], and ``probabilities`` [N, classes] where the model has some
multilabel      ``scores`` [N, classes]
regression      ``prediction`` [N] or [N, M]
generic         each output by its name, as far as it is numbers of fixed size
a ranked list   ``items`` [N, top] (empty text: there are fewer) and ``scores`` [N, top] (NaN)
==============  ==========================================================================
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cloud_hub.errors import Invalid
from cloud_hub.policy.schema.batch import RESERVED

if TYPE_CHECKING:
    from cloud_hub.policy.schema.batch import BatchJob
    from edge_sdk.contract.manifest import Manifest, OutputSpec

ENTITY: Final = "entity"
MOST_COLUMNS: Final = 200
"""Columns of one value; a model of more classes keeps a ranked list."""

Number = Literal["string", "int64", "float32", "float64"]
_NUMBERS: Final = {"float16": "float32", "float32": "float32", "float64": "float64"}


@dataclass(frozen=True)
class Value:
    """One value of an answer.

    Attributes:
        name: of the value.
        dtype: of its array.
        columns: of the table, one for each part.
        many: the array is [N, columns] and not [N].
    """

    name: str
    dtype: Number
    columns: tuple[str, ...]
    many: bool = False


@dataclass(frozen=True)
class Attribute:
    """A column of the source that is kept beside the answer; it may be null."""

    name: str
    dtype: Number


@dataclass(frozen=True)
class Layout:
    """Columns of a table of predictions, after the entity; ``top`` of a ranked list, else 0."""

    values: tuple[Value, ...]
    attributes: tuple[Attribute, ...] = ()
    top: int = 0

    def __post_init__(self) -> None:
        # As SQL compares names: without regard to case.
        names = [name.lower() for name in self.columns]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise Invalid(f"columns: expected different names, {repeated} would stand twice")

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the table's columns, in order."""
        inner = [name for value in self.values for name in value.columns]
        return (ENTITY, *inner, *(attribute.name for attribute in self.attributes))

    @property
    def dtypes(self) -> tuple[Number, ...]:
        """Types of the table's columns, in order."""
        inner = [value.dtype for value in self.values for _ in value.columns]
        return ("string", *inner, *(attribute.dtype for attribute in self.attributes))

    @property
    def optional(self) -> frozenset[str]:
        """Names of the columns that may be null: attributes, and the end of a list."""
        inner = [name for value in self.values for name in value.columns] if self.top else []
        return frozenset([*inner, *(attribute.name for attribute in self.attributes)])

    def named(self, names: Sequence[str] | None) -> tuple[Value, ...]:
        """Return some of the values, by default all; raises Invalid for a name that is none."""
        there = {value.name: value for value in self.values}
        unknown = [name for name in names or () if name not in there]
        if unknown:
            raise Invalid(f"columns: expected some of {sorted(there)}, got {unknown}")
        return self.values if names is None else tuple(there[name] for name in names)


class EntityAnswers(NamedTuple):
    """Answers to N entities.

    Attributes:
        entities: N names.
        columns: arrays [N] or [N, M] by name of the value.
        attributes: N values by name of the attribute; ``None`` where the source had none.
    """

    entities: list[str]
    columns: dict[str, NDArray[Any]]
    attributes: dict[str, list[Any]]


def values_of(manifest: Manifest, job: BatchJob) -> tuple[Value, ...]:
    """Return the values of a job that the release of a manifest answers.

    Raises:
        Invalid: the job asks for a list of a model that gives none, or a model has more numbers
            than a table has columns.
    """
    signature = manifest.signature
    if job.top:
        return _ranking(manifest, job.top, by_item=job.item is not None)
    probabilities, scores = signature.output("probabilities"), signature.output("scores")
    label, value = signature.output("label"), signature.output("value")
    several = scores or probabilities
    if several is not None or label is not None:
        values = []
        if scores is None:
            kind: Number = "int64" if _integers(signature.classes) else "string"
            values.append(Value("prediction", kind, ("prediction",)))
        if several is not None:
            name = "scores" if scores else "probabilities"
            prefix = "score" if scores else "probability"
            columns = class_columns(prefix, signature.classes)
            values.append(Value(name, _number(several), _few(columns, several.name), many=True))
        return tuple(values)
    shown = [value] if value else [spec for spec in signature.outputs if spec.role == "other"]
    found = [_plain("prediction" if value else spec.name, spec) for spec in shown]
    if not found:
        raise Invalid(f"{manifest.model} {manifest.version}: has no output that a table could keep")
    return tuple(found)


def class_columns(prefix: str, classes: Sequence[Any]) -> tuple[str, ...]:
    """Return a column's name for each class: by its label, or by number where that is no name."""
    labels = [str(label) for label in classes]
    plain = all(re.fullmatch(r"[A-Za-z0-9_-]{1,40}", label) for label in labels)
    unique = len({label.lower() for label in labels}) == len(labels)
    names = labels if plain and unique else [str(i) for i in range(len(labels))]
    return tuple(f"{prefix}_{name}" for name in names)


def _ranking(manifest: Manifest, top: int, *, by_item: bool) -> tuple[Value, ...]:
    signature = manifest.signature
    spec = signature.output("scores") or signature.output("probabilities")
    if by_item:
        spec = signature.output("value") or signature.output("probabilities")
        if spec and spec.role == "probabilities" and len(signature.classes) != 2:
            raise Invalid("item: a list of items needs a model with a value, or of two classes")
    if spec is None:
        raise Invalid(f"top: {manifest.model} {manifest.version} gives nothing to rank by")
    many = top if by_item else min(top, len(signature.classes))
    items = tuple(f"item_{i + 1}" for i in range(many))
    scores = tuple(f"score_{i + 1}" for i in range(many))
    return (
        Value("items", "string", items, many=True),
        Value("scores", _number(spec), scores, many=True),
    )


def _plain(name: str, spec: OutputSpec) -> Value:
    inner = [size for axis, size in enumerate(spec.shape) if axis != spec.batch]
    if spec.dtype not in _NUMBERS and spec.dtype not in ("int64", "int32"):
        raise Invalid(f"output {spec.name}: expected numbers, got {spec.dtype}")
    if None in inner:
        raise Invalid(f"output {spec.name}: expected a fixed size, got {spec.shape}")
    size = prod(size or 0 for size in inner)
    if name.lower() in RESERVED - {"prediction"}:
        name = f"output_{name}"
    if size == 1:
        return Value(name, _number(spec), (name,))
    return Value(name, _number(spec), _few(range(size), spec.name, name), many=True)


def _few(parts: Sequence[Any], output: str, prefix: str = "") -> tuple[str, ...]:
    if len(parts) > MOST_COLUMNS:
        raise Invalid(
            f"output {output}: has {len(parts)} numbers a row, and a table keeps at most "
            f"{MOST_COLUMNS}; keep the best with top: 10"
        )
    return tuple(f"{prefix}_{part}" if prefix else part for part in parts)


def _number(spec: OutputSpec) -> Number:
    number: Number = _NUMBERS.get(spec.dtype, "int64")  # type: ignore[assignment]
    return number


def _integers(classes: Sequence[Any]) -> bool:
    return bool(classes) and all(type(label) is int for label in classes)


def best(scores: NDArray[Any], top: int) -> NDArray[np.intp]:
    """Return the columns [N, top] of the largest scores [N, M], largest first; equal ones in order.

    Args:
        scores: finite.
        top: at most M.
    """
    return np.argsort(-scores, axis=1, kind="stable")[:, :top]


def prediction_of(layout: Layout, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return one row of a table as JSON: values by name, lists for those of many parts.

    Args:
        layout: of the table.
        row: its columns by name.
    """
    answer: dict[str, Any] = {}
    for value in layout.values:
        parts = [row[column] for column in value.columns]
        answer[value.name] = parts if value.many else parts[0]
    if layout.top:
        answer["items"] = [item for item in answer["items"] if item is not None]
        answer["scores"] = answer["scores"][: len(answer["items"])]
    return answer
