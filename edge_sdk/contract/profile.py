"""The reference profile: distributions at training time, and the bins of every histogram.

Devices count values into these bins (:mod:`edge_sdk.contract.histograms`), so that their reports
add up bin by bin.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from edge_sdk.contract.codec import decode, encode
from edge_sdk.contract.errors import require
from edge_sdk.contract.groups import GroupProfile
from edge_sdk.contract.limits import DIRECTIONS, EMBEDDING, FEATURES, PROFILE_BYTES
from edge_sdk.contract.version import PROFILE_FORMAT

TensorKind = Literal["image", "audio", "tokens", "series", "text", "tensor"]
"""What an input tensor holds, which decides the statistics that sum it up."""


@dataclass(frozen=True)
class FeatureProfile:
    """One distribution: ``edges`` for a number, ``categories`` for everything else.

    ``edges`` ascend strictly and hold the training minimum and maximum; bin ``i`` is
    ``edges[i] <= x < edges[i + 1]``, the last bin includes its upper edge. A feature that was
    constant in training has one edge and one bin, that value. ``counts`` are those of training.
    ``correct``, of an output, is the number of each bin's held-out rows that were answered
    correctly, if it was measured.
    """

    name: str
    counts: tuple[int, ...]
    edges: tuple[float, ...] | None = None
    categories: tuple[str, ...] | None = None
    correct: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        require(
            (self.edges is None) != (self.categories is None),
            f"{self.name}: expected either edges or categories",
        )
        if self.edges is not None:
            require(bool(self.edges), f"{self.name}: expected at least one edge")
            ascending = all(low < high for low, high in pairwise(self.edges))
            require(ascending, f"{self.name}: expected ascending edges")
        require(
            len(self.counts) == self.bins + 2,
            f"{self.name}: expected {self.bins + 2} counts, got {len(self.counts)}",
        )
        require(min(self.counts) >= 0, f"{self.name}: expected counts of at least 0")
        if self.correct is not None:
            self._check_correct()

    def _check_correct(self) -> None:
        assert self.correct is not None
        require(len(self.correct) == self.bins, f"{self.name}: expected {self.bins} of correct")
        # counts ends with *missing* and *outside*, which correct does not have.
        pairs = zip(self.correct, self.counts, strict=False)
        within = all(0 <= right <= count for right, count in pairs)
        require(within, f"{self.name}: expected 0 to as many correct as counted")

    @property
    def bins(self) -> int:
        """Number of bins besides *missing* and *outside*."""
        if self.categories is not None:
            return len(self.categories)
        assert self.edges is not None
        return max(1, len(self.edges) - 1)


@dataclass(frozen=True)
class WatchedTensor:
    """An input tensor that is summed up by a few numbers, each of them a feature of the profile.

    ``statistics`` are those of ``kind``, by name; a value is rounded to a multiple of its
    ``steps``, so that machines that round differently count alike. ``fill`` is the mean of the
    samples, one number or one a channel: what an explanation puts where it takes a part away.
    """

    tensor: str
    kind: TensorKind
    statistics: tuple[str, ...]
    steps: tuple[float, ...]
    fill: tuple[float, ...] = (0.0,)

    def __post_init__(self) -> None:
        count = len(self.statistics)
        require(len(self.steps) == count, f"{self.tensor}: expected {count} steps")
        require(all(step > 0 for step in self.steps), f"{self.tensor}: expected steps above 0")
        require(bool(self.fill), f"{self.tensor}: expected a fill")


@dataclass(frozen=True)
class EmbeddingDirections:
    """An output vector [d] of the model, summed up along its principal directions.

    ``mean`` [d] and ``directions`` [k, d], of length one, are those of the held-out samples. The
    features are the k places along the directions, in ``steps`` each, and how far the vector is
    from what they span.
    """

    output: str
    mean: tuple[float, ...]
    directions: tuple[tuple[float, ...], ...]
    steps: tuple[float, ...]

    def __post_init__(self) -> None:
        width, count = len(self.mean), len(self.directions)
        require(0 < width <= EMBEDDING, f"embedding: expected 1 to {EMBEDDING} numbers")
        fits = all(len(direction) == width for direction in self.directions)
        require(fits, f"embedding: expected directions of {width} numbers")
        require(0 < count <= DIRECTIONS, f"embedding: expected 1 to {DIRECTIONS} directions")
        require(len(self.steps) == count + 1, f"embedding: expected {count + 1} steps")
        require(all(step > 0 for step in self.steps), "embedding: expected steps above 0")


@dataclass(frozen=True)
class ReferenceProfile:
    """``profile.json`` of a release.

    ``features`` follow the order of the manifest's columns; of inputs that are no table they are
    the statistics of the ``watched`` tensors, in order, then the directions of the ``embedding``
    and the distance from them. ``outputs`` are distributions of the model's answers on held-out
    rows: ``label`` (categories) and ``confidence`` for a classifier, ``value`` for a regressor;
    ``groups`` are the same of declared groups of rows.
    """

    rows: int
    features: tuple[FeatureProfile, ...]
    outputs: tuple[FeatureProfile, ...] = ()
    groups: tuple[GroupProfile, ...] = ()
    watched: tuple[WatchedTensor, ...] = ()
    embedding: EmbeddingDirections | None = None
    format: Literal[1] = PROFILE_FORMAT

    def __post_init__(self) -> None:
        require(len(self.features) <= FEATURES, f"features: expected at most {FEATURES}")
        sizes = [output.bins + 2 for output in self.outputs]
        for each in self.groups:
            fits = [len(counts) for counts in each.outputs] == sizes
            require(fits, f"groups: {each.column}={each.group}: expected {sizes} counts")
        self._check_watched()

    def _check_watched(self) -> None:
        if not self.watched and self.embedding is None:
            return
        expected = sum(len(tensor.statistics) for tensor in self.watched)
        expected += 0 if self.embedding is None else len(self.embedding.steps)
        count = len(self.features)
        require(count == expected, f"features: expected {expected} statistics, got {count}")
        numbers = all(feature.edges is not None for feature in self.features)
        require(numbers, "features: expected edges for every statistic")

    @classmethod
    def from_json(cls, raw: bytes) -> ReferenceProfile:
        """Parse; raises :class:`ContractError`."""
        return decode(cls, raw, limit=PROFILE_BYTES)

    def to_json(self) -> bytes:
        """Canonical bytes."""
        return encode(self)
