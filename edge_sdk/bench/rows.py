"""Rows to measure with: many different ones, as application inputs and as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import BenchError
from edge_sdk.model.schema import InputSchema
from edge_sdk.model.session import row_count, take_rows

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import Signature, TensorSpec
    from edge_sdk.model.release import Feed

ROWS: Final = 1_024
"""Number of different rows; half of them are in the pack that a measured device opens."""

LARGEST_BYTES: Final = 256 << 20
"""Memory that making rows may take; of pictures a few hundred rows would take gigabytes."""

_INDEX_BYTES: Final = 8
"""Of the place that each value of a mixed row is taken from."""

_OPEN: Final = 8
"""Size chosen for a dimension of any size, other than the batch."""


def at_random(specs: Sequence[TensorSpec], rows: int, *, batched: bool) -> Feed:
    """Return random rows: normal values for floats; zeros and ones, or letters, for the others.

    Args:
        specs: input tensors.
        rows: number of rows.
        batched: True if axis 0 of every tensor is the batch.
    """
    random = np.random.default_rng(0)
    feed: Feed = {}
    for spec in specs:
        sizes = tuple(size or _OPEN for size in spec.shape)
        shape = (rows, *sizes[1:]) if batched and sizes else sizes
        if spec.dtype == "string":
            feed[spec.name] = random.choice(np.array(["a", "b"], dtype=object), shape)
        elif spec.dtype.startswith("float"):
            feed[spec.name] = np.asarray(random.standard_normal(shape)).astype(spec.dtype)
        else:
            feed[spec.name] = np.asarray(random.integers(0, 2, shape)).astype(spec.dtype)
    return feed


def from_file(path: Path, specs: Sequence[TensorSpec]) -> Feed:
    """Read rows from a ``.npy`` table for a model of one input, or an ``.npz`` by input name.

    Raises:
        BenchError: unreadable, inputs are not there, or numbers are not finite.
    """
    try:
        content = np.load(path, allow_pickle=False)
    except OSError as error:
        raise BenchError(f"{path}: expected rows as .npy or .npz; {error.strerror}") from error
    except (ValueError, EOFError) as error:  # numpy's own message is about pickles
        raise BenchError(f"{path}: expected rows as .npy or .npz; this is neither") from error
    names = [spec.name for spec in specs]
    if isinstance(content, np.ndarray):
        content = {names[0]: content}
    absent = set(names) - set(content)
    if absent:
        raise BenchError(
            f"{path}: expected the inputs {names}, {sorted(absent)} are missing; "
            f"it has {sorted(content)}"
        )
    feed = {spec.name: _as(content[spec.name], spec) for spec in specs}
    for name, array in feed.items():
        _check_finite(path, name, array)
    return feed


def _check_finite(path: Path, name: str, array: NDArray[Any]) -> None:
    if array.dtype.kind != "f" or not len(array):
        return
    count = int((~np.isfinite(array)).reshape(len(array), -1).any(axis=1).sum())
    if count:
        raise BenchError(
            f"{path}: expected finite numbers, got NaN or infinity in {count} of {len(array)} rows "
            f"of {name!r}; leave those rows out"
        )


def _as(array: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    return array.astype(object if spec.dtype == "string" else spec.dtype)


def affordable(feed: Feed) -> int:
    """Return how many rows like those of ``feed`` may be mixed, by their bytes."""
    bytes_of_row = sum(array[:1].size * (array.itemsize + _INDEX_BYTES) for array in feed.values())
    return LARGEST_BYTES // max(1, bytes_of_row)


def different(feed: Feed, count: int) -> Feed:
    """Return ``count`` different rows, or fewer if there are no more, mixed from ``feed``.

    Of pictures and other large rows there are fewer, but not fewer than ``feed`` has.
    """
    # Twice as many are mixed, because some turn out equal.
    count = min(count, max(affordable(feed) // 2, len(next(iter(feed.values())))))
    many = mixed(feed, 2 * count)
    tables = [np.asarray(array).reshape(len(array), -1) for array in many.values()]
    seen: dict[tuple[Any, ...], int] = {}
    for i in range(2 * count):
        seen.setdefault(tuple(_identity(table[i]) for table in tables), i)
    chosen = list(seen.values())[:count]
    return {name: array[chosen] for name, array in many.items()}


def mixed(feed: Feed, count: int) -> Feed:
    """Return ``count`` rows that take each value from some row of ``feed`` at the same place.

    Ranges and categories stay real, and few rows become many. The rows of ``feed`` come first.
    """
    random = np.random.default_rng(1)
    rows: Feed = {}
    for name, array in feed.items():
        source = random.integers(0, len(array), (max(0, count - len(array)), *array.shape[1:]))
        more = np.take_along_axis(array, source, axis=0) if len(source) else array[:0]
        rows[name] = np.concatenate([array, more])[:count]
    return rows


def singles(feed: Feed, signature: Signature) -> list[Feed]:
    """Return one feed per row; ``feed`` itself if there is no batch axis."""
    if not signature.batched:
        return [feed]
    count = row_count(feed, signature)
    return [take_rows(feed, slice(i, i + 1), signature) for i in range(count)]


def application_row(one: Feed, signature: Signature) -> Any:
    """Return the argument of ``predict`` for a row: an array, a dict by column, or a feed."""
    schema = InputSchema(signature)
    if schema.dense:
        return one[schema.dense.name][0]
    if not signature.columns:
        return one
    return {column.name: _plain(one[column.tensor][0, column.index]) for column in schema.columns}


def application_batch(feed: Feed, signature: Signature) -> Any:
    """Return the argument of ``predict_batch`` for the rows of a feed."""
    schema = InputSchema(signature)
    if schema.dense:
        return feed[schema.dense.name]
    if not signature.columns:
        return feed
    return {column.name: feed[column.tensor][:, column.index] for column in schema.columns}


def _identity(row: NDArray[Any]) -> Any:
    return tuple(row.tolist()) if row.dtype == object else row.tobytes()


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
