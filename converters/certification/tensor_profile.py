"""The reference profile of samples that are no table: statistics of tensors, and an embedding.

The numbers are those that a device computes (:mod:`edge_sdk.telemetry.tensor_watch`), from the
same excerpts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from converters.certification.profile import quantiles
from converters.errors import ConversionError
from edge_sdk.contract.limits import EMBEDDING
from edge_sdk.contract.manifest import Signature, TensorSpec
from edge_sdk.contract.profile import (
    EmbeddingDirections,
    FeatureProfile,
    ReferenceProfile,
    TensorKind,
    WatchedTensor,
)
from edge_sdk.model.release import Feed
from edge_sdk.model.session import row_count
from edge_sdk.model.tensor_kinds import channel_axis, fits_kind, kind_of, one_sample, row_axes
from edge_sdk.telemetry.tensor_statistics import excerpts, statistics
from edge_sdk.telemetry.tensor_watch import TensorWatch, watched_names

KINDS: Final = get_args(TensorKind)
LEAST_SAMPLES: Final = 30
"""Fewer say too little of what is usual: then only answers are watched."""

SAMPLES: Final = 10_000
"""Samples that the profile is made of, at most, spread over all."""

DIRECTIONS: Final = 8
"""Principal directions of an embedding that are watched."""

LEAST_FITTED: Final = 100
"""Samples that directions are fitted to, if there are twice as many; else a fifth of all."""

LEAST_WIDTH: Final = 8
"""Numbers of an output vector from which on it is taken for an embedding, if none is declared."""

FINENESS: Final = 1e-3
"""Steps of a statistic, in standard deviations of it."""

_IN_UNITS: Final = ("brightness", "contrast", "offset", "mean", "spread", "largest", "channel")
"""Statistics in the unit of the tensor; all others have units of their own."""


@dataclass(frozen=True)
class WatchedSamples:
    """Checked samples of a model that takes no table, and its answers to them.

    Attributes:
        signature: of the model.
        feeds: tensors of N samples in one feed, or a feed for each.
        answers: of the model to each of ``feeds``, by output name; of an embedding if there is one.
        kinds: what input tensors hold, by name, where it is declared.
        embedding: name of the output whose directions are watched; ``None``: the first vector;
            ``False``: none.
    """

    signature: Signature
    feeds: Sequence[Feed]
    answers: Sequence[Feed]
    kinds: Mapping[str, str]
    embedding: str | Literal[False] | None = None

    @cached_property
    def chosen(self) -> NDArray[np.int64]:
        """Numbers of the samples that the profile is made of, among all."""
        count = sum(row_count(feed, self.signature) for feed in self.feeds)
        return np.linspace(0, count - 1, min(count, SAMPLES)).astype(np.int64)

    @property
    def places(self) -> list[tuple[int, int]]:
        """Feed and row of each sample that the profile is made of."""
        rows = [row_count(feed, self.signature) for feed in self.feeds]
        every = [(i, row) for i, count in enumerate(rows) for row in range(count)]
        return [every[i] for i in self.chosen]


def watched_profile(samples: WatchedSamples) -> ReferenceProfile:
    """Return the profile of the inputs, and of an embedding; of few samples one without features.

    Raises:
        ConversionError: a kind that does not exist or does not fit its tensor, or an embedding that
            is none.
    """
    places = samples.places
    check_kinds(samples.kinds, samples.signature)
    if len(places) < LEAST_SAMPLES:
        return ReferenceProfile(len(places), ())
    specs = samples.signature.application_inputs
    tensors = tuple(_tensor(samples, spec, places) for spec in specs)
    embedding = _embedding(samples, places)
    draft = ReferenceProfile(len(places), _unknown(tensors, embedding), (), (), tensors, embedding)
    watch = TensorWatch(draft, samples.signature)
    pairs = zip(samples.feeds, samples.answers, strict=True)
    every = np.concatenate([watch.features(feed, answers) for feed, answers in pairs])
    values = every[samples.chosen]
    counted = _split(len(places))[1]
    names, inputs = watched_names(tensors, embedding), sum(len(t.statistics) for t in tensors)
    features = tuple(
        quantiles(name, values[:, i] if i < inputs else values[counted, i])
        for i, name in enumerate(names)
    )
    return replace(draft, features=features)


def check_kinds(kinds: Mapping[str, str], signature: Signature) -> None:
    """Refuse kinds that do not exist, or are of no input tensor; raises ConversionError."""
    names = [spec.name for spec in signature.application_inputs]
    for name, kind in kinds.items():
        if name not in names:
            raise ConversionError(f"kinds: expected names of the inputs {names}, got {name!r:.60}")
        if kind not in KINDS:
            raise ConversionError(f"kinds: {name}: expected one of {KINDS}, got {kind!r:.60}")


def _tensor(
    samples: WatchedSamples, spec: TensorSpec, places: Sequence[tuple[int, int]]
) -> WatchedTensor:
    """Choose the statistics of a tensor: those that every sample has."""
    axis = row_axes(samples.signature).get(spec.name)
    items = [one_sample(samples.feeds[i][spec.name], row, axis) for i, row in places]
    guess = kind_of(spec.dtype, items[0].shape)
    kind = cast(TensorKind, samples.kinds.get(spec.name, guess))
    for item in items:
        if not fits_kind(kind, spec.dtype, item.shape):
            raise ConversionError(
                f"kinds: {spec.name}: expected samples that are {kind}, got {spec.dtype} of shape "
                f"{item.shape}"
            )
    kept = _common_statistics(kind, items)
    # A size that the model fixes says nothing.
    fixed = {
        n for n in ("height", "width", "length") if n in kept and kind not in ("tokens", "text")
    }
    kept = {n: c for n, c in kept.items() if n not in fixed or np.ptp(c) > 0}
    numbers = None if kind == "text" else items
    steps = tuple(_step(name, column, numbers) for name, column in kept.items())
    return WatchedTensor(spec.name, kind, tuple(kept), steps, _fill(kind, numbers))


def _common_statistics(kind: TensorKind, items: Sequence[NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the statistics that all samples have, [N] each, in no order of samples."""
    columns: dict[str, list[NDArray[Any]]] = {}
    alike: dict[tuple[int, ...], list[NDArray[Any]]] = {}
    for item in items:
        alike.setdefault(item.shape, []).append(item)
    for shape, same in alike.items():
        for some in _some(same):
            parts = excerpts(kind, np.stack(some))
            for name, values in statistics(kind, parts, [shape] * len(some)).items():
                columns.setdefault(name, []).append(values)
    every = {name: np.concatenate(parts) for name, parts in columns.items()}
    return {name: values for name, values in every.items() if len(values) == len(items)}


def _step(name: str, values: NDArray[Any], items: Sequence[NDArray[Any]] | None) -> float:
    """Return the step of a statistic: a little of what it varies by, and more than rounding."""
    floor = 1e-4
    if items is not None and name.startswith(_IN_UNITS):
        scale = np.mean([np.abs(item.astype(np.float64)).mean() for item in items[:100]])
        floor = 1e-5 * float(scale) + 1e-12
    return _short(max(FINENESS * float(np.std(values.astype(np.float64))), floor))


def _fill(kind: TensorKind, items: Sequence[NDArray[Any]] | None) -> tuple[float, ...]:
    """Return the mean of the samples, of pictures and series a channel."""
    if items is None or kind == "tokens":
        return (0.0,)
    some = items[:: max(1, len(items) // 200)]
    axis = channel_axis(some[0].shape) if kind == "image" else None
    if kind == "series":
        axis = 1
    if axis is None:
        return (_short(float(np.mean([item.astype(np.float64).mean() for item in some]))),)
    rest = tuple(i for i in range(some[0].ndim) if i != axis)
    means = np.mean([item.astype(np.float64).mean(axis=rest) for item in some], axis=0)
    return tuple(_short(float(mean)) for mean in means)


def embedding_output(signature: Signature, declared: str | Literal[False] | None) -> str | None:
    """Return the output that is an embedding: the declared one, the inner one, or the first vector.

    Raises:
        ConversionError: there is no output of the declared name.
    """
    if declared is False:
        return None
    names = [spec.name for spec in signature.outputs]
    if declared is not None and declared not in names:
        raise ConversionError(
            f"embedding: expected one of the outputs {names}, got {declared!r:.60}"
        )
    inner = signature.output("embedding")
    if declared is not None or inner is not None:
        return declared or (inner.name if inner is not None else None)
    state = {link.output for link in signature.state}
    for spec in signature.outputs:
        vector = len(spec.shape) == (2 if signature.batched else 1)
        wide = (spec.shape[-1] or 0) >= LEAST_WIDTH if spec.shape else False
        free = spec.role in ("other", "value") and spec.name not in state
        if vector and wide and free and spec.dtype.startswith("float"):
            return spec.name
    return None


def _embedding(
    samples: WatchedSamples, places: Sequence[tuple[int, int]]
) -> EmbeddingDirections | None:
    name = embedding_output(samples.signature, samples.embedding)
    if name is None:
        return None
    axis = row_axes(samples.signature).get(name)
    rows = [one_sample(samples.answers[i][name], row, axis) for i, row in places]
    widths = {row.size for row in rows}
    if len(widths) > 1 or max(widths) > EMBEDDING:
        if samples.embedding is None:
            return None
        raise ConversionError(
            f"embedding: {name}: expected vectors of one width, {EMBEDDING} at most, got "
            f"{sorted(widths)[:5]}"
        )
    vectors = np.stack([rows[i].ravel() for i in _split(len(rows))[0]])
    finite = vectors[np.isfinite(vectors).all(axis=1)]
    if len(finite) == 0:
        if samples.embedding is None:
            return None
        raise ConversionError(f"embedding: {name}: expected finite numbers, got NaN or infinity")
    return directions_of(name, finite)


def _split(count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the samples that directions are fitted to, and those that are counted along them.

    A sample is nearer to directions that it helped to choose than any other is.
    """
    # At random, but the same each time: samples may come in an order of their own.
    order = np.random.default_rng(0).permutation(count)
    few = max(count // 5, min(count // 2, LEAST_FITTED))
    return order[:few], order[few:]


def directions_of(name: str, vectors: NDArray[Any], count: int = DIRECTIONS) -> EmbeddingDirections:
    """Return the principal directions of vectors [N, d].

    Args:
        name: of the output.
        vectors: the embedding of each sample.
        count: directions at most.
    """
    x = vectors.astype(np.float64)
    mean = x.mean(axis=0)
    _, sizes, directions = np.linalg.svd(x - mean, full_matrices=False)
    # At least one, and none that is only rounding.
    kept = max(1, min(count, int((sizes > 1e-6 * max(sizes[0], 1e-300)).sum())))
    short_mean = np.array([_short(each) for each in mean.tolist()])
    directions = directions[:kept]
    # Signs of singular vectors are arbitrary: the largest number of each is made positive.
    largest = np.abs(directions).argmax(axis=1)
    directions = directions * np.sign(directions[np.arange(kept), largest])[:, None]
    shortened = np.array([[_short(each) for each in row] for row in directions.tolist()])
    along = (x - short_mean) @ shortened.T
    rest = np.sqrt(np.square(x - short_mean - along @ shortened).sum(axis=1))
    scale = 1e-5 * float(np.abs(x).mean()) + 1e-12
    spreads = [*along.std(axis=0).tolist(), float(rest.std())]
    steps = tuple(_short(max(FINENESS * spread, scale)) for spread in spreads)
    return EmbeddingDirections(
        name, tuple(short_mean.tolist()), tuple(map(tuple, shortened.tolist())), steps
    )


def _unknown(
    tensors: Sequence[WatchedTensor], embedding: EmbeddingDirections | None
) -> tuple[FeatureProfile, ...]:
    names = watched_names(tensors, embedding)
    return tuple(FeatureProfile(name, (0, 0, 0), (0.0,)) for name in names)


def _some(excerpts: Iterable[Any], size: int = 16) -> Iterable[list[Any]]:
    some: list[Any] = []
    for each in excerpts:
        some.append(each)
        if len(some) == size:
            yield some
            some = []
    if some:
        yield some


def _short(value: float) -> float:
    return float(f"{value:.4g}")
