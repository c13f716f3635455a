"""Watching of inputs that are no table: excerpts on the caller's path, statistics off it.

Invariants:

* The caller's thread copies excerpts and nothing else; the telemetry thread computes.
* Both together take at most :data:`SHARE` of the time of the calls, and :data:`IDLE_SHARE` of the
  time in between: of a fast model fewer predictions are looked at, evenly spread. What is not
  looked at is in no histogram, and in all other counts.
* At most :data:`WAITING_BYTES` of excerpts wait to be computed.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_sdk.model.tensor_kinds import one_sample, row_axes
from edge_sdk.telemetry.tensor_statistics import excerpts, statistics

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import Signature
    from edge_sdk.contract.profile import EmbeddingDirections, ReferenceProfile, WatchedTensor

    Tensors = Mapping[str, NDArray[Any]]

SHARE: Final = 0.02
"""Of the time of the calls."""

IDLE_SHARE: Final = 0.005
"""Of all other time: so a device that is asked once a second looks at each of its inputs."""

WAITING_BYTES: Final = 8 << 20
AT_ONCE: Final = 16
"""Samples computed in one go: more do not fit into a cache."""

BATCH_ROWS: Final = 16
"""Rows of a batch that are looked at, at most."""

FIRST_COST: Final = 200_000
"""Nanoseconds that a sample is taken to cost before any was measured."""


class Excerpt:
    """Parts of one sample's tensors, which become its statistics.

    Attributes:
        parts: excerpt and shape of each watched tensor.
        embedding: the vector [d], if one is watched.
        values: the statistics [S], float32, once they are computed.
    """

    __slots__ = ("embedding", "parts", "values")

    def __init__(
        self,
        parts: tuple[tuple[NDArray[Any], tuple[int, ...]], ...],
        embedding: NDArray[Any] | None,
    ) -> None:
        self.parts = parts
        self.embedding = embedding
        self.values: NDArray[np.float32] | None = None

    @property
    def nbytes(self) -> int:
        """Bytes that wait."""
        vector = 0 if self.embedding is None else self.embedding.nbytes
        return vector + sum(_held_bytes(part) for part, _ in self.parts)


class Allowance:
    """The time that may be spent on watching, in nanoseconds: earned by calls, and while idle.

    Threads may lose each other's additions; that costs a sample, never a prediction.
    """

    def __init__(self, now: int) -> None:
        self._credit = float(FIRST_COST)
        self._cost = float(FIRST_COST)
        self._last = now

    def earn(self, took: int, now: int) -> bool:
        """Return whether there is enough for a sample; then it is taken off.

        Args:
            took: nanoseconds of the call.
            now: nanoseconds, of a clock that does not jump.
        """
        idle = max(0, now - self._last - took)
        self._last = now
        # No more than a few samples are saved up: a pause is not made good by a burst.
        most = 4 * self._cost
        self._credit = min(most, self._credit + SHARE * took + IDLE_SHARE * idle)
        if self._credit < self._cost:
            return False
        self._credit -= self._cost
        return True

    def spent(self, took: int, samples: int) -> None:
        """Learn what samples cost: slowly, for a thread is interrupted now and then.

        Args:
            took: nanoseconds for all of them.
            samples: one at least.
        """
        self._cost += 0.1 * (took / samples - self._cost)


class TensorWatch:
    """Sums up the tensors of one release as its profile says.

    Args:
        profile: that names watched tensors, an embedding, or both.
        signature: of the release.
    """

    def __init__(self, profile: ReferenceProfile, signature: Signature) -> None:
        self._tensors = profile.watched
        self._count = len(profile.watched)
        self._embedding = None if profile.embedding is None else Directions(profile.embedding)
        self._output = None if profile.embedding is None else profile.embedding.output
        self._axes = row_axes(signature)
        self._steps = np.array(
            [step for tensor in profile.watched for step in tensor.steps]
            + list(profile.embedding.steps if profile.embedding else ()),
            np.float64,
        )
        self._allowance = Allowance(time.perf_counter_ns())
        self._waiting: deque[Excerpt] = deque()
        self._bytes = 0
        self._taken = 0.0

    @classmethod
    def of(cls, profile: ReferenceProfile, signature: Signature) -> TensorWatch | None:
        """Return the watch of a release; ``None`` if it is a table, or not watched."""
        if not profile.watched and profile.embedding is None:
            return None
        return cls(profile, signature)

    def take(self, feed: Tensors, outputs: Tensors, took: int) -> Excerpt | None:
        """Return an excerpt of a single call, or ``None`` if it is not looked at.

        Args:
            feed: the checked tensors, a batch of one.
            outputs: of the model; without the embedding nothing is looked at.
            took: nanoseconds of the call.
        """
        now = time.perf_counter_ns()
        if self._bytes > WAITING_BYTES or (self._output and self._output not in outputs):
            return None
        if not self._allowance.earn(took, now):
            return None
        taken = self.excerpt(feed, outputs, 0)
        self._wait_for(taken)
        self._taken += 0.1 * (time.perf_counter_ns() - now - self._taken)
        return taken

    def take_batch(self, feed: Tensors, outputs: Tensors, took: int) -> tuple[slice, list[Excerpt]]:
        """Return the rows of a batch that are looked at, and an excerpt of each.

        Args:
            feed: the checked tensors.
            outputs: of the model.
            took: nanoseconds of the call.
        """
        name = next(name for name in feed if name in self._axes)
        count = feed[name].shape[self._axes[name]]
        now, each = time.perf_counter_ns(), took // max(1, count)
        affordable = sum(self._allowance.earn(each, now) for _ in range(min(count, 4 * BATCH_ROWS)))
        wanted = min(affordable, BATCH_ROWS) if self._bytes <= WAITING_BYTES else 0
        rows = slice(0, count, -(-count // wanted)) if wanted else slice(0)
        taken = [self.excerpt(feed, outputs, i) for i in range(*rows.indices(count))]
        for each_one in taken:
            self._wait_for(each_one)
        return rows, taken

    def excerpt(self, feed: Tensors, outputs: Tensors, row: int) -> Excerpt:
        """Return the excerpt of one row, whatever it costs."""
        items = [(t.kind, self._item(feed, t.tensor, row)) for t in self._tensors]
        parts = tuple((excerpts(kind, item[None])[0], item.shape) for kind, item in items)
        vector = None
        if self._output is not None:
            vector = self._item(outputs, self._output, row).astype(np.float32).ravel()
        return Excerpt(parts, vector)

    def _item(self, tensors: Tensors, name: str, row: int) -> NDArray[Any]:
        return one_sample(tensors[name], row, self._axes.get(name))

    def _wait_for(self, taken: Excerpt) -> None:
        self._bytes += taken.nbytes
        self._waiting.append(taken)

    def compute(self) -> None:
        """Compute what waits. Called by one thread at a time."""
        while self._waiting:
            some = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
            self._bytes -= sum(each.nbytes for each in some)
            started = time.perf_counter_ns()
            self._compute(some)
            took = time.perf_counter_ns() - started
            self._allowance.spent(took + int(self._taken) * len(some), len(some))
            time.sleep(0)  # a thread that waits to predict goes first
        # Threads that add at once may lose each other's bytes: here the sum is known again.
        self._bytes = 0

    def _compute(self, some: Sequence[Excerpt]) -> None:
        for each, values in zip(some, self.values(some), strict=True):
            each.values, each.parts, each.embedding = values, (), None

    def values(self, some: Sequence[Excerpt]) -> NDArray[np.float32]:
        """Return the features of N excerpts that are not computed yet, [N, S]."""
        values = np.full((len(some), len(self._steps)), np.nan, np.float32)
        for rows in _alike(some):
            same = [some[i] for i in rows]
            parts = [np.stack([each.parts[i][0] for each in same]) for i in range(self._count)]
            shapes = [[each.parts[i][1] for each in same] for i in range(self._count)]
            vectors = [each.embedding for each in same if each.embedding is not None]
            values[rows] = self._features(parts, shapes, np.stack(vectors) if vectors else None)
        return values

    def features(self, feed: Tensors, outputs: Tensors) -> NDArray[np.float32]:
        """Return the features of all N samples of a feed, [N, S]; what devices would count.

        Args:
            feed: the checked tensors.
            outputs: of the model.
        """
        tensors = [_rows_first(feed[t.tensor], self._axes.get(t.tensor)) for t in self._tensors]
        vectors = None
        if self._output is not None:
            rows = _rows_first(outputs[self._output], self._axes.get(self._output))
            vectors = rows.reshape(len(rows), -1).astype(np.float32)
        count = len(vectors) if vectors is not None else len(tensors[0])
        found = []
        for start in range(0, count, AT_ONCE):
            some = [tensor[start : start + AT_ONCE] for tensor in tensors]
            parts = [excerpts(t.kind, x) for t, x in zip(self._tensors, some, strict=True)]
            shapes = [[x.shape[1:]] * len(x) for x in some]
            part = None if vectors is None else vectors[start : start + AT_ONCE]
            found.append(self._features(parts, shapes, part))
        return np.concatenate(found)

    def _features(
        self,
        parts: Sequence[NDArray[Any]],
        shapes: Sequence[Sequence[tuple[int, ...]]],
        vectors: NDArray[np.float32] | None,
    ) -> NDArray[np.float32]:
        """Features [N, S] of excerpts of one shape a tensor; NaN for a statistic that is none."""
        columns: list[Any] = []
        for tensor, part, shape in zip(self._tensors, parts, shapes, strict=True):
            found = statistics(tensor.kind, part, shape)
            nothing = np.full(len(part), np.nan)
            columns += [found.get(name, nothing) for name in tensor.statistics]
        with np.errstate(all="ignore"):  # of infinite numbers
            if self._embedding is not None and vectors is not None:
                columns += list(self._embedding.places(vectors).T)
        table = np.stack(columns, axis=1).astype(np.float64)
        return (np.round(table / self._steps) * self._steps).astype(np.float32)

    def columns(self, some: Sequence[Excerpt | None]) -> NDArray[np.float32]:
        """Return the features of those N that are excerpts, [S, N], computed if not yet."""
        self.compute()
        there = [each for each in some if each is not None]
        late = [each for each in there if each.values is None]
        if late:
            self._compute(late)
        rows = [each.values for each in there if each.values is not None]
        return np.stack(rows).T if rows else np.zeros((len(self._steps), 0), np.float32)


class Directions:
    """The principal directions of an embedding, as arrays."""

    def __init__(self, embedding: EmbeddingDirections) -> None:
        self._mean = np.array(embedding.mean, np.float32)
        self._directions = np.array(embedding.directions, np.float32)

    def places(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return [N, k + 1] of vectors [N, d]: places along the directions, and how far off."""
        if vectors.shape[1] != len(self._mean):
            return np.full((len(vectors), len(self._directions) + 1), np.nan, np.float32)
        centred = vectors - self._mean
        along = centred @ self._directions.T
        rest = centred - along @ self._directions
        off = np.sqrt(np.einsum("ij,ij->i", rest, rest))
        places: NDArray[np.float32] = np.column_stack([along, off])
        return places


def _held_bytes(part: NDArray[Any]) -> int:
    # An array of texts holds pointers; a character takes up to four bytes.
    return 4 * sum(map(len, part.ravel())) if part.dtype == object else part.nbytes


def _rows_first(array: NDArray[Any], axis: int | None) -> NDArray[Any]:
    return one_sample(array, 0, None)[None] if axis is None else np.moveaxis(array, axis, 0)


def _alike(some: Sequence[Excerpt]) -> list[list[int]]:
    """Indices of excerpts whose parts have the same shapes and dtypes."""
    groups: dict[Any, list[int]] = {}
    for i, each in enumerate(some):
        vector = None if each.embedding is None else each.embedding.shape
        key = (tuple((part.shape, part.dtype) for part, _ in each.parts), vector)
        groups.setdefault(key, []).append(i)
    return list(groups.values())


def watched_names(
    tensors: Sequence[WatchedTensor], embedding: EmbeddingDirections | None
) -> list[str]:
    """Return the names of the features, in order."""
    names = [f"{tensor.tensor} {name}" for tensor in tensors for name in tensor.statistics]
    if embedding is not None:
        names += [f"{embedding.output} direction {i + 1}" for i in range(len(embedding.directions))]
        names.append(f"{embedding.output} off directions")
    return names
