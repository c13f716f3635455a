"""The meaning of a file's outputs: declared by the caller, or inferred where there is no doubt.

Whether numbers are probabilities, logits or values decides what a device answers and what is
certified. So nothing is guessed: what the answers to the samples do not prove is refused until it
is declared, and what is declared is held against them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from converters.errors import ConversionError
from converters.sources.onnx_signature import KINDS, OnnxLayout, OutputKind
from edge_sdk.model.release import Feed

SUM: Final = 1e-3
SUM_HALF: Final = 1e-2
"""Distance from 1 of a sum of probabilities: of float32, and of float16 that was rounded."""

SOME: Final = 10
"""Rows from which logits would show that they are logits."""


@dataclass(frozen=True)
class OutputReading:
    """What the outputs mean.

    Attributes:
        name: of the output that answers; ``None`` where outputs are given by name.
        kind: of that output.
        width: its columns.
        label: name of an output that holds one label for each row, if the file has one.
    """

    name: str | None = None
    kind: OutputKind = "values"
    width: int = 0
    label: str | None = None

    @property
    def is_class(self) -> bool:
        """True if an answer is one class of several."""
        return self.label is not None or self.kind in ("logits", "probabilities")

    @property
    def classes(self) -> int:
        """Number of classes: one column is the score of the second of two."""
        return 2 if self.is_class and self.width == 1 else self.width

    @property
    def is_multilabel(self) -> bool:
        """True if an answer is any number of classes."""
        return self.name is not None and self.kind.startswith("multilabel")


def table(array: NDArray[Any]) -> NDArray[Any]:
    """Return answers [N, …] as [N, columns], axes of one element left out."""
    return array.reshape(len(array), -1)


def read_outputs(answers: Feed, y: Any, layout: OnnxLayout, *, batched: bool) -> OutputReading:
    """Return what the outputs mean.

    Args:
        answers: of the file to all samples, axis 0 the samples.
        y: labels or values as the caller gave them.
        layout: with the declared meaning.
        batched: True if the model gives one answer for each row.

    Raises:
        ConversionError: the answers do not show it and nothing was declared, or they contradict
            what was declared.
    """
    tables = {n: table(a) for n, a in answers.items() if batched and _is_table(a)}
    declared = layout.output if isinstance(layout.output, Mapping) else {}
    labels = [n for n, a in answers.items() if batched and _is_label(a) and n not in declared]
    label = labels[0] if len(labels) == 1 and (y is not None or layout.classes) else None
    name, kind = _declared(layout, answers, tables)
    if kind is None:
        name, kind = _inferred(answers, tables, y, layout, label)
    if name is None:
        return OutputReading(label=label)
    if name not in tables:
        raise ConversionError(
            f"output: {name!r} has the shape {answers[name].shape} for {len(answers[name])} "
            f"samples; {kind} are a table with one row for each row of X. Declare it as values"
        )
    if kind != "values":
        _hold_against(name, kind, tables[name])
    # A label beside scores is theirs. Beside values, or scores of several labels, it is another.
    return OutputReading(
        name, kind, tables[name].shape[1], labels[0] if _has_own_label(kind, labels) else None
    )


def _has_own_label(kind: OutputKind, labels: Sequence[str]) -> bool:
    return len(labels) == 1 and kind in ("logits", "probabilities")


def _is_table(array: NDArray[Any]) -> bool:
    """Return whether answers are numbers in one row of columns for each sample."""
    is_row = sum(size > 1 for size in array.shape[1:]) <= 1
    return array.dtype.kind == "f" and is_row and array.size > 0


def _is_label(array: NDArray[Any]) -> bool:
    return array.dtype.kind in "iuO" and array.size == len(array)


def _declared(
    layout: OnnxLayout, answers: Feed, tables: Feed
) -> tuple[str | None, OutputKind | None]:
    given = layout.output
    if given is None:
        return None, None
    if isinstance(given, Mapping):
        return _declared_by_name(given, answers)
    if given == "values":
        return (next(iter(answers)) if len(answers) == 1 and tables else None), "values"
    fitting = list(tables)
    if layout.classes is not None and len(tables) > 1:
        fitting = [n for n, a in tables.items() if a.shape[1] == len(layout.classes)]
    if len(fitting) != 1:
        shapes = {name: array.shape for name, array in answers.items()}
        raise ConversionError(
            f"output={given!r}: expected one output with a row of numbers for each row of X; the "
            f"answers to the samples have the shapes {shapes}. Say which one it is, as in "
            f'output={{"{next(iter(answers))}": "{given}"}}, or declare output="values"'
        )
    return fitting[0], given


def _declared_by_name(
    given: Mapping[str, OutputKind], answers: Feed
) -> tuple[str | None, OutputKind]:
    unknown = sorted(set(given) - set(answers))
    if unknown:
        raise ConversionError(
            f"output: expected names of outputs, which are {list(answers)}; got {unknown[0]!r}"
        )
    scored = [name for name, kind in given.items() if kind != "values"]
    if len(scored) > 1:
        raise ConversionError(
            f"output: expected at most one output that is no value, as a release answers with one; "
            f"got {scored}"
        )
    only = list(given) if len(given) == len(answers) == 1 else []
    name = next(iter(scored or only), None)
    return name, given[name] if name is not None else "values"


def _inferred(
    answers: Feed, tables: Feed, y: Any, layout: OnnxLayout, label: str | None
) -> tuple[str | None, OutputKind]:
    # Of several tables one that sums to 1 may as well be attention beside the logits.
    if len(tables) == 1:
        name, array = next(iter(tables.items()))
        if sums_to_one(array):
            return name, "probabilities"
        is_scores = outside(array) and not np.isnan(array).any() and array.shape[1] > 1
        if is_scores and is_single_label(y):
            return name, "logits"
    if not tables:
        if y is None or label is not None:
            return None, "values"
        raise ConversionError(
            f"y: nothing to compare it with: the outputs {list(answers)} are no table with a row "
            "for each row of X. Leave y out"
        )
    seen = "; ".join(f"{name!r} {_seen(array)}" for name, array in tables.items())
    raise ConversionError(
        f"output: cannot tell what the outputs mean: {seen}. Declare it: output= one of "
        f"{', '.join(KINDS)}, or a kind for each output by its name"
    )


def _seen(array: NDArray[Any]) -> str:
    columns = f"{array.shape[1]} columns" if array.shape[1] > 1 else "one column"
    if sums_to_one(array):
        return f"has {columns} whose rows sum to 1"
    missing = np.isnan(array).any(axis=1)
    if missing.any():
        return f"has {columns}, and in {missing.sum()} rows no number (NaN)"
    low, high = float(np.nanmin(array)), float(np.nanmax(array))
    return f"has {columns} from {low:.3g} to {high:.3g} and rows that do not sum to 1"


def sums_to_one(array: NDArray[Any]) -> bool:
    """Return whether every row [columns] is a distribution over two classes or more."""
    close = SUM_HALF if array.dtype == np.float16 else SUM
    sums = array.astype(np.float64).sum(axis=1)
    return array.shape[1] > 1 and not outside(array) and bool((np.abs(sums - 1) <= close).all())


def outside(array: NDArray[Any]) -> bool:
    """Return whether a number lies outside [0, 1], or is none."""
    close = 1e-6 if array.dtype != np.float16 else 1e-3
    return not bool(((array >= -close) & (array <= 1 + close)).all())


def is_single_label(y: Any) -> bool:
    """Return whether ``y`` holds one class for each row: texts, booleans or whole numbers."""
    if y is None:
        return False
    try:
        labels = np.asarray(y)
    except ValueError:  # lists of different lengths
        return False
    if labels.ndim == 0 or labels.size != len(labels):
        return False
    if labels.dtype.kind == "f":
        return bool(np.isfinite(labels).all() and (labels == np.floor(labels)).all())
    is_text = labels.dtype.kind == "O" and all(isinstance(label, str) for label in labels.ravel())
    return labels.dtype.kind in "iubU" or is_text


def _no_answer(kind: OutputKind, array: NDArray[Any]) -> NDArray[np.bool_]:
    """Return rows [N] that no scores follow from; a logit may be minus infinity beside others."""
    is_softmax = kind == "logits" and array.shape[1] > 1
    endless = is_softmax & ~np.isfinite(array.max(axis=1))
    return np.asarray(np.isnan(array).any(axis=1) | endless)


def _hold_against(name: str, kind: OutputKind, array: NDArray[Any]) -> None:
    """Refuse a kind that the answers contradict."""
    missing = np.flatnonzero(_no_answer(kind, array))
    if len(missing):
        raise ConversionError(
            f"output: {name!r} has no number (NaN), or infinite ones, in the answer to row "
            f"{missing[0]} of X, and in {len(missing)} answers in all, so that no class follows; "
            "leave those rows out, or mend the model"
        )
    if len(array) >= SOME and array.shape[1] == 1 and kind == "logits" and not outside(array):
        raise ConversionError(
            f"output: {name!r} is declared as logits, but all numbers are from 0 to 1, so that "
            "every answer would be the second class. Declare probabilities"
        )
    if kind == "logits" and sums_to_one(array):
        raise ConversionError(
            f"output: {name!r} is declared as logits, but its rows are probabilities already: all "
            "sum to 1. Declare probabilities"
        )
    if kind == "probabilities" and (
        outside(array) or (array.shape[1] > 1 and not sums_to_one(array))
    ):
        sums = array.astype(np.float64).sum(axis=1)
        i = int(np.argmax(np.where(np.isfinite(sums), np.abs(sums - 1), np.inf)))
        raise ConversionError(
            f"output: {name!r} is declared as probabilities, but row {i} has numbers from "
            f"{array[i].min():.3g} to {array[i].max():.3g} that sum to {sums[i]:.3g}. Declare "
            "logits, multilabel or values"
        )
    if kind == "multilabel" and outside(array):
        raise ConversionError(
            f"output: {name!r} is declared as multilabel scores, but has numbers from "
            f"{np.nanmin(array):.3g} to {np.nanmax(array):.3g}. Declare multilabel-logits, for "
            "scores before a sigmoid"
        )
