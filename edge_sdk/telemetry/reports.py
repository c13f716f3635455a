"""Messages for the hub, made of counts.

The messages' classes are imported where one is made: that is minutes after the start, on a thread
of its own, and a start is 5 ms shorter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edge_sdk.contract.histograms import NO_HISTOGRAMS
from edge_sdk.contract.names import CONTROL
from edge_sdk.contract.window import Window
from edge_sdk.telemetry.group_counts import GroupReports
from edge_sdk.telemetry.histogram_codec import encode_histograms
from edge_sdk.telemetry.resources import ResourceUse
from edge_sdk.telemetry.window_counts import Histograms, KeyOfMark, WindowCounts

if TYPE_CHECKING:
    from edge_sdk.contract.messages import Body
    from edge_sdk.contract.profile import ReferenceProfile
    from edge_sdk.contract.serving_terms import Reporting
    from edge_sdk.model.release import Release
    from edge_sdk.telemetry.groups import Grouping
    from edge_sdk.telemetry.label_join import LabelOutcomes, Unlabelled


@dataclass(frozen=True)
class Scope:
    """The arm that a monitor reports for, and the tag of its prediction ids."""

    tag: str
    experiment: str | None = None
    arm: str = CONTROL


class Reports:
    """Messages about one release on one arm.

    Histograms of a window with few observations are carried into the next, so that no report
    speaks of a handful of inputs.
    """

    def __init__(
        self,
        release: Release,
        profile: ReferenceProfile,
        scope: Scope,
        reporting: Reporting,
        key_of: KeyOfMark,
        grouping: Grouping,
    ) -> None:
        self._key_of = key_of
        self._release = release
        self._scope = scope
        self._reporting = reporting
        self._profile = profile
        self._carried = Histograms.empty(self._profile)
        self._groups = GroupReports(grouping, self._profile, reporting.minimum_observations)
        self._resources = ResourceUse()

    def window(self, start: int, counts: WindowCounts, *, final: bool = False) -> Iterator[Body]:
        """Yield the messages of a window; none if it is empty.

        Args:
            start: of the window, Unix seconds.
            counts: of the window.
            final: no window follows, so groups do not wait for more predictions.
        """
        from edge_sdk.contract.messages import KeyVotes, WindowReport

        if counts.empty:
            return
        manifest = self._release.manifest
        histograms = self._with_carried(counts.histograms)
        yield WindowReport(
            window=self._named(start),
            profile=self._release.profile_digest,
            predictions=dict(counts.predictions),
            features=encode_histograms(histograms.features) if histograms else NO_HISTOGRAMS,
            outputs=encode_histograms(histograms.outputs) if histograms else NO_HISTOGRAMS,
            observations=histograms.observations if histograms else 0,
            degraded=counts.degraded,
            defaulted=counts.defaulted,
            stale=counts.stale,
            units=counts.units,
            errors=dict(counts.errors),
            latency={name: tuple(map(int, row)) for name, row in counts.latency.items()},
            lost=dict(counts.lost),
            resources=self._resources.sample(),
            groups=self._groups.window(counts.groups, final=final),
            buckets=None if counts.keys is None else counts.keys.report(),
            variant=self._release.variant.name,
            provider=self._release.provider or self._release.variant.provider,
        )
        votes = counts.votes(self._reporting.votes, self._key_of)
        if votes:
            yield KeyVotes(manifest.model, manifest.version, start, votes)

    def outcomes(self, by_window: Mapping[int, LabelOutcomes], unmatched: int) -> Iterator[Body]:
        """Yield the outcomes of labels.

        Args:
            by_window: by window start, Unix seconds.
            unmatched: labels without a prediction; they go with the first window.
        """
        from edge_sdk.contract.messages import FeedbackReport

        for start, outcomes in sorted(by_window.items()):
            outcomes = replace(outcomes, groups=self._reportable_groups(outcomes))
            columns = outcomes.columns()
            yield FeedbackReport(window=self._named(start), unmatched=unmatched, **columns)
            unmatched = 0

    def unlabelled(self, waiting: Sequence[Unlabelled]) -> list[Unlabelled]:
        """Return predictions that wait for labels, with their groups as they may be reported."""
        reportable = self._groups.reportable
        return [p._replace(groups=tuple(reportable(*g) for g in p.groups)) for p in waiting]

    def _reportable_groups(self, outcomes: LabelOutcomes) -> dict[str, dict[str, tuple[int, int]]]:
        """Labels by group, those of groups that were never reported as *other*."""
        by_column: dict[str, dict[str, tuple[int, int]]] = {}
        for column, pairs in outcomes.groups.items():
            sums = by_column.setdefault(column, {})
            for group, (labelled, right) in pairs.items():
                name = self._groups.reportable(column, group)[1]
                before = sums.get(name, (0, 0))
                sums[name] = (before[0] + labelled, before[1] + right)
        return by_column

    def _with_carried(self, histograms: Histograms) -> Histograms | None:
        """The histograms to report now, or ``None``: too few wait for the next window."""
        histograms.add(self._carried)
        self._carried = Histograms.empty(self._profile)
        if histograms.observations >= self._reporting.minimum_observations:
            return histograms
        self._carried = histograms
        return None

    def _named(self, start: int) -> Window:
        manifest, scope = self._release.manifest, self._scope
        end = start + self._reporting.window_seconds
        return Window(manifest.model, manifest.version, start, end, scope.experiment, scope.arm)
