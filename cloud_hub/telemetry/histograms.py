"""Histograms of reports, decoded: of one that came in, and of those that are stored."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cloud_hub.errors import Invalid
from edge_sdk.telemetry.histogram_codec import decode_alike, decode_histograms
from edge_sdk.telemetry.histograms import HistogramCounts

if TYPE_CHECKING:
    from edge_sdk.contract.messages import WindowReport
    from edge_sdk.contract.profile import ReferenceProfile


@dataclass(frozen=True)
class HistogramLayout:
    """How many counts each histogram of a release's features and of its outputs has."""

    features: tuple[int, ...]
    outputs: tuple[int, ...]

    @classmethod
    def of(cls, profile: ReferenceProfile) -> HistogramLayout:
        """Return that of a reference profile."""
        features, outputs = (
            tuple(feature.bins + 2 for feature in layout)
            for layout in (profile.features, profile.outputs)
        )
        return cls(features, outputs)


@dataclass(frozen=True)
class ReportHistograms:
    """The histograms of one window report; ``groups`` has those of outputs by column and group."""

    features: HistogramCounts
    outputs: HistogramCounts
    groups: Mapping[str, Mapping[str, HistogramCounts]]

    @classmethod
    def of(cls, report: WindowReport) -> ReportHistograms:
        """Decode those of ``report``.

        Raises:
            ContractError: a text is none of histograms.
        """
        groups = {
            column: {name: decode_histograms(counts.outputs) for name, counts in groups.items()}
            for column, groups in report.groups.items()
        }
        return cls(decode_histograms(report.features), decode_histograms(report.outputs), groups)

    def check(self, report: WindowReport, layout: HistogramLayout) -> None:
        """Refuse what is not in the layout of a release, or does not add up.

        Raises:
            Invalid: it is not.
        """
        for counts, sizes in ((self.features, layout.features), (self.outputs, layout.outputs)):
            # A window of few observations has none: its counts go into the next.
            if report.observations:
                _check_layout(counts, sizes)
            _check_sums("histograms", counts, report.observations)
        for column, groups in self.groups.items():
            for name, counts in groups.items():
                _check_layout(counts, layout.outputs)
                observations = report.groups[column][name].observations
                _check_sums(f"groups: {column}={name}", counts, observations)


def _check_layout(counts: HistogramCounts, sizes: tuple[int, ...]) -> None:
    if counts.sizes != sizes:
        raise Invalid(f"histograms: expected {list(sizes)} counts, got {list(counts.sizes)}"[:200])


def _check_sums(what: str, counts: HistogramCounts, observations: int) -> None:
    if not counts.add_up_to(observations):
        raise Invalid(f"{what}: expected each to add up to {observations} observations")


def histograms_of(body: Mapping[str, Any]) -> HistogramCounts:
    """Return those of features, then those of outputs, of a stored report."""
    features, outputs = (decode_histograms(body[name]) for name in ("features", "outputs"))
    return HistogramCounts(
        np.concatenate([features.flat, outputs.flat]), features.sizes + outputs.sizes
    )


def stacked_histograms(
    texts: Sequence[tuple[str, str]],
) -> tuple[NDArray[np.int64], tuple[int, ...]]:
    """Return those of many stored reports of one version at once.

    Args:
        texts: histograms of features and of outputs as they are stored, of one or more reports.

    Returns:
        Counts of each report, one histogram after the other, [reports, counts], and how many counts
        each histogram has.

    Raises:
        ValueError: reports have different layouts.
    """
    parts = [decode_alike(column) for column in zip(*texts, strict=True)]
    counts = [part[0] for part in parts if part is not None]
    if len(counts) < len(parts):
        raise ValueError("expected histograms of one layout, reports have several")
    sizes = itertools.chain.from_iterable(part[1] for part in parts if part is not None)
    return np.concatenate(counts, axis=1), tuple(sizes)


def group_histograms_of(
    groups: Mapping[str, Any] | None, outputs: Sequence[str]
) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Yield the histograms of each declared group of a stored report.

    Args:
        groups: of the report, by column; none where there are none.
        outputs: names of the profile's outputs.

    Yields:
        Names such as ``sex=f:label``, and counts [bins + 2].
    """
    for column, by_group in (groups or {}).items():
        for group, counts in by_group.items():
            for name, histogram in zip(outputs, decode_histograms(counts["outputs"]), strict=False):
                yield group_output(column, group, name), histogram


def group_output(column: str, group: str, output: str) -> str:
    """Return the name of a group's output, such as ``sex=f:label``.

    Args:
        column: that declares the groups.
        group: one of them.
        output: of the profile.
    """
    return f"{column}={group}:{output}"
