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
from edge_sdk.contract.limits import FEATURES, PROFILE_BYTES
from edge_sdk.contract.version import PROFILE_FORMAT


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
class ReferenceProfile:
    """``profile.json`` of a release.

    ``features`` follow the order of the manifest's columns. ``outputs`` are distributions of the
    model's answers on held-out rows: ``label`` (categories) and ``confidence`` for a
    classifier, ``value`` for a regressor; ``groups`` are the same of declared groups of rows.
    """

    rows: int
    features: tuple[FeatureProfile, ...]
    outputs: tuple[FeatureProfile, ...] = ()
    groups: tuple[GroupProfile, ...] = ()
    format: Literal[1] = PROFILE_FORMAT

    def __post_init__(self) -> None:
        require(len(self.features) <= FEATURES, f"features: expected at most {FEATURES}")
        sizes = [output.bins + 2 for output in self.outputs]
        for each in self.groups:
            fits = [len(counts) for counts in each.outputs] == sizes
            require(fits, f"groups: {each.column}={each.group}: expected {sizes} counts")

    @classmethod
    def from_json(cls, raw: bytes) -> ReferenceProfile:
        """Parse; raises :class:`ContractError`."""
        return decode(cls, raw, limit=PROFILE_BYTES)

    def to_json(self) -> bytes:
        """Canonical bytes."""
        return encode(self)
