"""The axis of the rows of each tensor, established by running one row and three.

A file only says which dimensions are open, and an open first axis may as well be time. So three
rows are run alone and together: along the axis of the rows of an output, the answers to three rows
are the three answers to each alone. Where no axis is such, or rows change each other's answers, the
model takes one input at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from converters.errors import ConversionError
from edge_sdk.contract.manifest import StateLink, TensorSpec
from edge_sdk.model.release import Feed

ROWS: Final = 3

CLOSE: Final = 1e-3
"""Difference of an answer alone and among others, relative to the largest answer: kernels add in
another order, and half precision rounds. Another row's answer, or another state, is further off."""

CLOSE_QUANTIZED: Final = 2e-2
"""The same where activations are quantized by the range of all rows that are run together."""

Run = Callable[[Feed], Feed]
Axes = Mapping[str, int]


@dataclass(frozen=True)
class Tensors:
    """Tensors of a file, as far as rows are concerned.

    Attributes:
        inputs: all inputs, the state among them.
        symbols: names of open dimensions of each input; ``None`` where a dimension has no name.
        links: recurrent state.
        close: difference of equal answers; :data:`CLOSE` or :data:`CLOSE_QUANTIZED`.
    """

    inputs: Sequence[TensorSpec]
    symbols: Mapping[str, Sequence[str | None]]
    links: Sequence[StateLink] = ()
    close: float = CLOSE

    @property
    def given(self) -> list[TensorSpec]:
        """Inputs that the application gives."""
        state = {link.input for link in self.links}
        return [spec for spec in self.inputs if spec.name not in state]


@dataclass(frozen=True)
class RowAxes:
    """Axis of the rows of each tensor but the state.

    Attributes:
        axes: by name.
        one: True if the file runs one row only, whatever it declares: exporters that trace one
            row write its count into the graph.
    """

    axes: Axes
    one: bool = False


def find_axes(run: Run, tensors: Tensors, feeds: Sequence[Feed]) -> RowAxes | None:
    """Return where the rows are; ``None`` if the model takes one input at a time.

    Args:
        run: runs the file.
        tensors: of the file.
        feeds: samples, without the state.

    Raises:
        ConversionError: the same input gives two answers.
    """
    for axes in _candidates(tensors):
        rows = _three_rows(feeds, axes)
        found = None if rows is None else _tried(run, tensors, rows, axes)
        if found is not None and rows is not None:
            refuse_random(run, tensors, rows[0])
            return replace(found, axes={**axes, **found.axes})
    refuse_random(run, tensors, feeds[0])
    return None


def refuse_random(run: Run, tensors: Tensors, feed: Feed) -> None:
    """Refuse a model that gives two answers to one input; raises :class:`ConversionError`."""
    one = {**_fitted(feed, tensors.given), **_state(tensors, 1)}
    first, second = run(one), run(one)
    for name, array in first.items():
        if not _same(array, second[name], tensors.close):
            raise ConversionError(
                f"{name}: expected one answer to one input, got two different ones in two calls; a "
                "model with random nodes (such as Dropout in training mode) cannot be certified"
            )


def _fitted(feed: Feed, specs: Sequence[TensorSpec]) -> Feed:
    """Return as many rows as the file takes, where it fixes their number."""
    fitted = {}
    for spec in specs:
        array, size = feed[spec.name], spec.shape[0] if len(spec.shape) > 1 else None
        fitted[spec.name] = array if size is None else array.take(np.arange(size) % len(array), 0)
    return fitted


def _candidates(tensors: Tensors) -> Iterator[dict[str, int]]:
    """Yield axes of the rows of the inputs that are worth a try, the likeliest first."""
    specs = tensors.given
    tries: list[dict[str, int]] = [dict.fromkeys((s.name for s in specs), 0)]
    named = [tensors.symbols.get(spec.name, ()) for spec in specs]
    for symbol in dict.fromkeys(name for names in named for name in names if name):
        if all(symbol in names for names in named):
            pairs = zip(specs, named, strict=True)
            tries.append({s.name: list(names).index(symbol) for s, names in pairs})
    tries.append(dict.fromkeys((s.name for s in specs), 1))
    seen: list[dict[str, int]] = []
    for axes in tries:
        sizes = {s.shape[axes[s.name]] if axes[s.name] < len(s.shape) else 0 for s in specs}
        # Of one fixed size, rows can only be along the first axis: no other is ever exported so.
        possible = sizes == {None} or (
            len(sizes) == 1 and 0 not in sizes and not any(axes.values())
        )
        if possible and _is_table_or_open(specs, sizes) and axes not in seen:
            seen.append(axes)
            yield axes


def _is_table_or_open(specs: Sequence[TensorSpec], sizes: set[int | None]) -> bool:
    """A vector of fixed size is one input, not that many."""
    return None in sizes or all(len(spec.shape) > 1 for spec in specs)


def _tried(run: Run, tensors: Tensors, rows: list[Feed], axes: Axes) -> RowAxes | None:
    """Return the axes of the outputs if the inputs have rows along ``axes``."""
    first = tensors.given[0]
    size = first.shape[axes[first.name]]
    if size is not None and tensors.links and size != 1:
        return None
    try:
        if size is not None and size > 1:
            found = _blocks(run, rows, axes, size, tensors)
            return None if found is None else RowAxes(found)
        alone = [run({**row, **_state(tensors, 1)}) for row in rows]
    except ConversionError:  # it does not run on rows along these axes
        return None
    if size is None:
        try:
            together = run({**_joined(rows, axes), **_state(tensors, ROWS)})
        except ConversionError:
            pass
        else:
            found = _output_axes(alone, together, tensors)
            return None if found is None else RowAxes(found)
    found = None if any(axes.values()) else _only_rows(alone, tensors)
    return None if found is None else RowAxes(found, one=True)


def _only_rows(alone: list[Feed], tensors: Tensors) -> Axes | None:
    """The file takes one row: its outputs have it along their first axis, or they have no axis."""
    state = {link.output for link in tensors.links}
    names = [name for name in alone[0] if name not in state]
    one = all(answers[name].shape[:1] == (1,) for answers in alone for name in names)
    return dict.fromkeys(names, 0) if one else None


def _blocks(run: Run, rows: list[Feed], axes: Axes, size: int, tensors: Tensors) -> Axes | None:
    """The file takes ``size`` rows: the answer to one may not change with its place and company."""
    first, second = rows[0], rows[1]
    one = run(_joined([first, *[second] * (size - 1)], axes))
    other = run(_joined([second, *[first] * (size - 1)], axes))
    found = {}
    for name, array in one.items():
        fitting = [
            axis
            for axis in range(array.ndim)
            if array.shape == other[name].shape and array.shape[axis] == size
            if _same(array.take(0, axis), other[name].take(1, axis), tensors.close)
            if _same(array.take(1, axis), other[name].take(0, axis), tensors.close)
        ]
        if not fitting:
            return None
        found[name] = fitting[0]
    return found


def _output_axes(alone: list[Feed], together: Feed, tensors: Tensors) -> Axes | None:
    state = {link.output for link in tensors.links}
    found = {}
    for name in (name for name in together if name not in state):
        axis = _output_axis([answers[name] for answers in alone], together[name], tensors.close)
        if axis is None:
            return None
        found[name] = axis
    return found


def _output_axis(alone: list[NDArray[Any]], together: NDArray[Any], close: float) -> int | None:
    for axis in range(together.ndim):
        wanted = tuple(1 if i == axis else size for i, size in enumerate(together.shape))
        if together.shape[axis] != ROWS or any(array.shape != wanted for array in alone):
            continue
        expected = np.concatenate(alone, axis)
        if _same(together, expected, close):
            return axis
    return None


def _same(one: NDArray[Any], other: NDArray[Any], close: float) -> bool:
    if one.shape != other.shape:
        return False
    if one.dtype.kind != "f":
        return bool((one == other).all())
    a, b = one.astype(np.float64), other.astype(np.float64)
    finite = np.isfinite(a) & np.isfinite(b)
    scale = max(float(np.abs(b[finite]).max(initial=0.0)), 1e-6)
    difference = np.subtract(a, b, out=np.zeros_like(a), where=finite)
    same = np.abs(difference) <= close * scale
    return bool((same & (finite | (a == b) | (np.isnan(a) & np.isnan(b)))).all())


def _three_rows(feeds: Sequence[Feed], axes: Axes) -> list[Feed] | None:
    """Return three rows of one shape, as different as the samples allow."""
    rows: list[Feed] = []
    for feed in feeds:
        counts = {feed[name].shape[axis] for name, axis in axes.items()}
        if len(counts) != 1 or counts == {0}:
            return None
        for i in range(counts.pop()):
            row = {name: feed[name].take([i], axis) for name, axis in axes.items()}
            if not rows or (_shapes(row) == _shapes(rows[0]) and not _holds(rows, row)):
                rows.append(row)
            if len(rows) == ROWS:
                return rows
    turned = [_turned(rows[0], axes, step) for step in (1, 2)]
    return [*rows, *turned][:ROWS]


def _shapes(feed: Feed) -> list[tuple[int, ...]]:
    return [array.shape for array in feed.values()]


def _holds(rows: list[Feed], row: Feed) -> bool:
    return any(all(np.array_equal(one[name], row[name]) for name in row) for one in rows)


def _turned(row: Feed, axes: Axes, step: int) -> Feed:
    """Return another row: the same values in another order, so that numbers of words stay valid."""
    turned = {}
    for name, array in row.items():
        along = [i for i in range(array.ndim) if i != axes[name]]
        turned[name] = np.roll(array, step, along[-1]) if along else array
    return turned


def _joined(rows: list[Feed], axes: Axes) -> Feed:
    return {n: np.concatenate([row[n] for row in rows], axis) for n, axis in axes.items()}


def _state(tensors: Tensors, rows: int) -> Feed:
    """Return the state before the first step; an open dimension of it is that of the rows."""
    names = {link.input for link in tensors.links}
    feed: Feed = {}
    for spec in tensors.inputs:
        if spec.name in names:
            shape = [size or rows for size in spec.shape]
            is_text = spec.dtype == "string"
            feed[spec.name] = np.full(shape, "", object) if is_text else np.zeros(shape, spec.dtype)
    return feed
