"""Samples of an ``.onnx`` file: ``X`` as the caller gave it, as feeds, and the answers to them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from converters.certification.golden import GOLDEN_ROWS
from converters.certification.reference import filled
from converters.errors import ConversionError
from edge_sdk.contract.manifest import OutputSpec, Signature, TensorSpec
from edge_sdk.model.release import Feed
from edge_sdk.model.schema import InputSchema
from edge_sdk.model.session import fixed_batch, row_count, take_rows
from edge_sdk.model.state import RecurrentState

CALL_BYTES: Final = 1 << 20
"""Bytes of input that are run in one call, at least one row: what a network keeps between its
layers is many times its input."""

Run = Callable[[Feed], Feed]


@dataclass(frozen=True)
class Samples:
    """Samples of a model, in the order in which the caller gave them.

    Attributes:
        feeds: input tensors without the state: any number of rows each where the model is batched,
            one input each where it is not.
        signature: of the model; its outputs are not looked at.
    """

    feeds: tuple[Feed, ...]
    signature: Signature

    @cached_property
    def rows(self) -> int:
        """Number of samples: rows of a batched model, else inputs."""
        return sum(row_count(feed, self.signature) for feed in self.feeds)

    def answers(self, run: Run, axes: Mapping[str, int] | None) -> Feed:
        """Return the answers to all samples, by output name; axis 0 are the samples.

        Samples of a model with recurrent state are the steps of one sequence. Where answers have
        different shapes, as those to pictures of different sizes, the smaller ones are filled up:
        with NaN, or a number or text that no answer has.

        Args:
            run: runs the model.
            axes: axis of the rows of each output; ``None`` without one.

        Raises:
            ConversionError: it fails on a sample, or gives other than one answer for each row.
        """
        parts: dict[str, list[NDArray[Any]]] = {}
        for feed, outputs, rows in self.calls(run):
            count = row_count(feed, self.signature)
            for name, array in outputs.items():
                answers = array[None] if axes is None else _rows_first(name, array, axes, count)
                parts.setdefault(name, []).append(answers[:rows])
        state = {link.output for link in self.signature.state}
        return {name: joined(arrays) for name, arrays in parts.items() if name not in state}

    def calls(self, run: Run) -> Iterator[tuple[Feed, Feed, int]]:
        """Yield each feed that is run, its outputs, and how many of its rows are samples.

        Rows behind those fill up the last block of a file that fixes their number.

        Raises:
            ConversionError: as :meth:`answers`, or the state has another shape after a step.
        """
        state = RecurrentState(self.signature)
        for feed, rows in self._steps() if self.signature.state else self._portions():
            outputs = run({**feed, **state.feed})
            self._refuse_growing(outputs, state.feed)
            state.update(outputs)
            yield feed, outputs, rows

    def _refuse_growing(self, outputs: Feed, state: Feed) -> None:
        for link in self.signature.state:
            before, after = state[link.input].shape, outputs[link.output].shape
            if before != after:
                raise ConversionError(
                    f"state: expected {link.output!r} in the shape of {link.input!r}, {before}; "
                    f"got {after}. A state that grows with each step cannot be kept on a device; "
                    "give the model a window of fixed size"
                )

    def _steps(self) -> Iterator[tuple[Feed, int]]:
        for feed in self.feeds:
            for i in range(row_count(feed, self.signature)):
                yield self._taken(feed, slice(i, i + 1)), 1

    def _portions(self) -> Iterator[tuple[Feed, int]]:
        size = fixed_batch(self.signature)
        for feed in self.feeds:
            count = row_count(feed, self.signature)
            bytes_of_row = sum(array.nbytes for array in feed.values()) // count
            most = size or max(1, CALL_BYTES // max(1, bytes_of_row))
            for start in range(0, count, most):
                part = slice(start, start + most) if size is None else _block(start, size, count)
                yield self._taken(feed, part), min(most, count - start)

    def _taken(self, feed: Feed, rows: Any) -> Feed:
        return take_rows(feed, rows, self.signature) if self.signature.batched else feed

    def head(self, rows: int = GOLDEN_ROWS) -> Feed:
        """Return the first rows of the first feed, with the state before the first step."""
        count = 1 if self.signature.state else rows
        return self._taken(self.feeds[0], slice(count)) | RecurrentState(self.signature).feed

    def singles(self, most: int) -> list[Feed]:
        """Return at most ``most`` feeds as the file takes them: one row each where it lets us."""
        state, size = RecurrentState(self.signature).feed, fixed_batch(self.signature) or 1
        found: list[Feed] = []
        for feed in self.feeds:
            count = row_count(feed, self.signature)
            for start in range(0, count, size):
                if len(found) == most:
                    return found
                whole = start + size <= count  # a slice is a view: indices would copy all samples
                rows = slice(start, start + size) if whole else _block(start, size, count)
                found.append(self._taken(feed, rows) | state)
        return found


def _block(start: int, size: int, count: int) -> NDArray[np.intp]:
    """Return ``size`` rows from ``start``; behind the last one it is repeated."""
    return np.minimum(np.arange(start, start + size), count - 1)


def _rows_first(name: str, array: NDArray[Any], axes: Mapping[str, int], rows: int) -> NDArray[Any]:
    axis = axes.get(name, 0)
    if array.ndim <= axis or array.shape[axis] != rows:
        raise ConversionError(
            f"{name}: expected answers to {rows} rows along axis {axis}, got shape {array.shape}; "
            "does the model take one input at a time? Then give batched=False"
        )
    return np.moveaxis(array, axis, 0)


def joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return arrays [N, …] below each other, the smaller ones filled up."""
    if len({part.shape[1:] for part in parts}) == 1:
        return np.concatenate(parts)
    if len({part.ndim for part in parts}) > 1:
        raise ConversionError("X: expected answers with as many axes to each sample")
    shape = tuple(np.max([part.shape[1:] for part in parts], axis=0))
    return np.concatenate([filled(part, shape) for part in parts])


def refuse_no_samples(inputs: Sequence[TensorSpec], X: Any) -> None:
    """Refuse what holds no samples, such as a generator; raises :class:`ConversionError`."""
    if not hasattr(X, "__len__") or isinstance(X, str):
        names = [spec.name for spec in inputs]
        advice = "; a generator is read with list(X)" if hasattr(X, "__next__") else ""
        raise ConversionError(
            f"X: expected samples of the inputs {names}, got {type(X).__name__}{advice}"
        )


def feeds_of(inputs: Sequence[TensorSpec], X: Any) -> tuple[Feed, ...]:
    """Return ``X`` as feeds of tensors of the declared types, before it is known where rows are.

    Args:
        inputs: that the application gives.
        X: an array or DataFrame for a single input, a feed, a list of feeds, or for a single input
            a list of arrays.

    Raises:
        ConversionError: ``X`` is something else, or there are no samples.
        InputError: a tensor does not fit.
    """
    names = [spec.name for spec in inputs]
    # Any number of rows for now: a file that fixes it is given them in blocks.
    loose = [replace(s, shape=(None, *s.shape[1:])) if len(s.shape) > 1 else s for s in inputs]
    schema = InputSchema(Signature(tuple(loose), (OutputSpec("", "float32", ()),), batched=False))
    feeds = [schema.row(each) for each in _each(X, loose)]
    if not feeds or any(0 in array.shape for feed in feeds for array in feed.values()):
        raise ConversionError(f"X: expected at least one sample of the inputs {names}, got none")
    return tuple(feeds)


def _each(X: Any, inputs: Sequence[TensorSpec]) -> list[Any]:
    """Return the samples that are given one by one; else all of them as one."""
    if isinstance(X, list | tuple) and len(X) > 0:
        if isinstance(X[0], Mapping):
            return list(X)
        if len(inputs) == 1 and isinstance(X[0], np.ndarray):
            return [_with_rows(each, inputs[0]) for each in X]
    if hasattr(X, "columns") and hasattr(X, "to_numpy"):
        return [X.to_numpy()]
    return [X] if len(X) else []


def _with_rows(sample: Any, spec: TensorSpec) -> Any:
    """Give an array of a list its axis of rows where it lacks one."""
    is_row = isinstance(sample, np.ndarray) and sample.ndim == len(spec.shape) - 1
    return sample[None] if is_row else sample


def checked(samples: Samples) -> Samples:
    """Return the same samples, once it is known where the rows are; adjacent ones as one feed.

    Raises:
        InputError: a tensor does not fit, or inputs have different numbers of rows.
    """
    signature = samples.signature
    plain = replace(signature, columns=())  # feeds by tensor, not rows by column
    schema = InputSchema(plain)
    if not signature.batched:
        return replace(samples, feeds=tuple(schema.row(feed) for feed in samples.feeds))
    feeds = [schema.batch(feed) for feed in samples.feeds]
    axes = {spec.name: spec.batch for spec in signature.application_inputs}
    groups = itertools.groupby(feeds, lambda feed: _shape_of_row(feed, axes))
    return replace(samples, feeds=tuple(_below_each_other(list(g), axes) for _, g in groups))


def _below_each_other(feeds: Sequence[Feed], axes: Mapping[str, int]) -> Feed:
    if len(feeds) == 1:
        return feeds[0]
    return {n: np.concatenate([feed[n] for feed in feeds], axis) for n, axis in axes.items()}


def _shape_of_row(feed: Feed, axes: Mapping[str, int]) -> list[list[int]]:
    return [np.delete(feed[name].shape, axis).tolist() for name, axis in axes.items()]
