"""Counts of one monitoring window, added to in batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.window import LATENCY_BINS, SOURCES, Source
from edge_sdk.telemetry.histograms import Bins, HistogramCounts
from edge_sdk.telemetry.key_counts import RequestsByBucket
from edge_sdk.telemetry.latency import latency_bins

if TYPE_CHECKING:
    from edge_sdk.contract.profile import ReferenceProfile
    from edge_sdk.model.prediction import BatchPrediction
    from edge_sdk.telemetry.group_counts import GroupAccumulator
    from edge_sdk.telemetry.groups import Codes

MARKS_PER_WINDOW: Final = 20_000
MARK_BYTES_PER_WINDOW: Final = 4 << 20
"""Different inputs that a window counts for the votes at most; later new ones are not counted."""

KeyOfMark = Callable[[bytes], bytes | None]
"""The exact key of an input, given what it was counted by."""


@dataclass
class Histograms:
    """Features and outputs in the layout of the profile, over ``observations`` predictions."""

    features: HistogramCounts
    outputs: HistogramCounts
    observations: int = 0

    @classmethod
    def empty(cls, profile: ReferenceProfile) -> Histograms:
        """Return counts that are all zero."""
        return cls(HistogramCounts.zeros(profile.features), HistogramCounts.zeros(profile.outputs))

    def add(self, other: Histograms) -> None:
        """Add counts bin by bin."""
        self.features.add(other.features)
        self.outputs.add(other.outputs)
        self.observations += other.observations


class ProfileBins:
    """The bins of a reference profile, ready for counting; ``names`` are those of its outputs."""

    def __init__(self, profile: ReferenceProfile) -> None:
        self.features = Bins(profile.features)
        self.outputs = Bins(profile.outputs)
        self.names = [output.name for output in profile.outputs]


@dataclass
class WindowCounts:
    """Counts of one window, the content of its report."""

    histograms: Histograms
    groups: GroupAccumulator
    predictions: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    marks: Counter[bytes] = field(default_factory=Counter)
    latency: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    degraded: int = 0
    defaulted: int = 0
    stale: int = 0
    units: int = 0
    keys: RequestsByBucket | None = None

    @property
    def empty(self) -> bool:
        """Return whether there is nothing to report."""
        return not (self.predictions or self.errors or self.lost or self.units)

    def add(self, bins: ProfileBins, columns: Any, outputs: Mapping[str, Any], count: int) -> None:
        """Add observations to the histograms.

        Args:
            bins: of the profile.
            columns: one sequence of values per feature.
            outputs: one sequence of values per output, by name.
            count: of observations.
        """
        counts = self.histograms
        bins.features.add(columns, counts.features)
        bins.outputs.add([outputs[name] for name in bins.names], counts.outputs)
        counts.observations += count

    def add_batch(
        self,
        bins: ProfileBins, columns: Any, sample: BatchPrediction, count: Mapping[Source, int],
        groups: Codes | None,
    ) -> None:  # fmt: skip
        """Add a batch: a sample of its rows to the histograms, all to the predictions.

        Args:
            bins: of the profile.
            columns: one sequence of values per feature, over the sample.
            sample: answers to some rows, perhaps none.
            count: of all rows, by source.
            groups: codes of declared groups of the sample, where the release has some.
        """
        named = {"label": sample.compared, "confidence": sample.confidences, "value": sample.values}
        outputs = {name: array for name, array in named.items() if array is not None}
        if len(sample):
            self.add(bins, columns, outputs, len(sample))
        if groups is not None:
            self.groups.add(bins.outputs, groups, [outputs[name] for name in bins.names])
        self.predictions.update(count)

    def add_joined(self, at: float, stale_at: int | None) -> None:
        """Add a prediction at ``at`` with features that get stale at ``stale_at``, both in Unix
        seconds; ``None`` for an entity that had the defaults.
        """
        if stale_at is None:
            self.defaulted += 1
        else:
            self.stale += at >= stale_at

    def add_latencies(self, sources: NDArray[np.uint8], latencies: NDArray[np.int64]) -> None:
        """Add single predictions: indices into ``SOURCES``, and the nanoseconds each took."""
        bins = latency_bins(latencies)
        for i in set(sources.tolist()):
            chosen = bins[sources == i]
            name = SOURCES[i]
            self.predictions[name] += len(chosen)
            place = self.latency.setdefault(name, np.zeros(LATENCY_BINS, dtype=np.int64))
            place += np.bincount(chosen, minlength=LATENCY_BINS)

    def by_bucket(self) -> RequestsByBucket:
        """Return the requests by bucket of the keys, begun here where there are none yet."""
        if self.keys is None:
            self.keys = RequestsByBucket()
        return self.keys

    def add_marks(self, marks: Sequence[bytes | None]) -> None:
        """Count inputs, for the votes."""
        sample = next((mark for mark in marks if mark is not None), b" ")
        most = min(MARKS_PER_WINDOW, MARK_BYTES_PER_WINDOW // len(sample))
        # While there is room for all of them, update() counts in C.
        if len(self.marks) + len(marks) <= most:
            self.marks.update(marks)  # type: ignore[arg-type]
            self.marks.pop(None, None)  # type: ignore[call-overload]
            return
        for mark in marks:
            if mark is not None and (mark in self.marks or len(self.marks) < most):
                self.marks[mark] += 1

    def votes(self, count: int, key_of: KeyOfMark) -> tuple[str, ...]:
        """Return the keys of the ``count`` most frequent inputs that were seen at least twice."""
        frequent = [mark for mark, times in self.marks.most_common(count) if times >= 2]
        keys = dict.fromkeys(map(key_of, frequent))
        return tuple(key.hex() for key in keys if key is not None)
