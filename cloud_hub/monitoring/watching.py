"""Watches one version: loads the windows that closed, evaluates them, stores the findings.

The evaluation itself is pure (``findings``, ``labels``); here it meets the database.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.datasets.records import HOLDOUT
from cloud_hub.monitoring import groups, labels, last_day, mean_error, rare_days
from cloud_hub.monitoring.explaining import explain_drift
from cloud_hub.monitoring.figures import DriftFigures
from cloud_hub.monitoring.findings import (
    Finding,
    FleetWindow,
    Kind,
    References,
    due_alarms,
    evaluate,
    extend_streaks,
)
from cloud_hub.monitoring.past import DAY, chosen
from cloud_hub.monitoring.rare_days import RareDays
from cloud_hub.monitoring.scanning import scan
from cloud_hub.statistics.detectors.concept import base_rate, settled
from cloud_hub.statistics.detectors.seasonal import Usual, seasonal_reference, usual

if TYPE_CHECKING:
    from cloud_hub.calendar.occurrence import Occurrence
    from cloud_hub.datasets.service import Datasets
    from cloud_hub.fleet.service import Fleet
    from cloud_hub.monitoring.store import Concept, MonitoringState, MonitoringStore
    from cloud_hub.policy.schema.sections import Policy
    from cloud_hub.registry.service import Registry
    from cloud_hub.telemetry.fleet_windows import Closed, FleetWindows
    from cloud_hub.telemetry.groups import GroupSums
    from edge_sdk.model.release import Release

SEASON_WEEKS: Final = 8
AT_ONCE: Final = 20
"""Windows evaluated in one tick, for the loop has other parts; a hub that was down catches up."""

EXPLAINED: Final = 5
"""Drifted features at most whose part in the change of the output is computed."""


class Watcher:
    """One version of one model."""

    def __init__(
        self,
        windows: FleetWindows,
        sums: GroupSums,
        store: MonitoringStore,
        registry: Registry,
        datasets: Datasets,
        fleet: Fleet,
        release: Release,
        policy: Policy,
        largest_error: float | None = None,
        days: RareDays = RareDays(),
    ) -> None:
        self._windows = windows
        self._sums = sums
        self._store = store
        self._registry = registry
        self._datasets = datasets
        self._fleet = fleet
        self._release = release
        self._policy = policy.monitoring
        self._report_days = policy.retention.report_days
        self._largest_error = largest_error
        self._days = days
        self._raised = False
        self._profile = release.profile()
        manifest = release.manifest
        self._of = (manifest.model, manifest.version)

    def watch(self, now: float, *, expected: bool = True) -> bool:
        """Evaluate every window that closed, and score the labels that are settled.

        Args:
            now: Unix seconds.
            expected: whether the model may have open alarms that a rare day explains.

        Returns:
            Whether any signal was an alarm, new or open before.
        """
        policy, state = self._policy, self._store.state(*self._of)
        # Devices report a window some time after its end; what is later than that is not evaluated.
        closed = self._windows.closed(
            *self._of, after=state.watched_to, until=now - policy.grace_seconds
        )
        for start, end in itertools.islice(pools(closed, policy.minimum), AT_ONCE):
            self._evaluate(state, start, end, now)
        # Read first: a look that ends nothing writes nothing.
        if expected or self._raised:
            self._close_expected(state, now)
        self._score_labels(state, now)
        return self._raised

    def load(self, start: int, end: int) -> FleetWindow:
        """Return the histograms of ``start <= t < end`` (Unix seconds), by device."""
        return replace(self._loaded(start, end), attributes=self._attributes)

    def _loaded(self, start: int, end: int) -> FleetWindow:
        devices, histograms = self._windows.by_device(
            *self._of, self._profile, start=start, end=end
        )
        return FleetWindow(start, end, devices, histograms)

    def _earlier(self, window: FleetWindow) -> tuple[list[FleetWindow], list[FleetWindow]]:
        """Windows just before this one that an alarm takes too, and the past of them all; of
        windows whose reports are still there.
        """
        compared = (*self._profile.features, *self._profile.outputs)
        if not compared:
            return [], []
        kept = self._report_days * DAY
        spans = self._store.spans(
            *self._of,
            f"drift:{compared[0].name}",
            since=window.start - kept,
            before=window.start,
        )
        spans = self._days.comparable(spans, window.start, window.end)
        before = reversed(spans[: self._policy.in_a_row - 1])
        past = chosen(
            spans, window.start, in_a_row=self._policy.in_a_row, devices=len(window.devices)
        )
        recent, loaded = ([self._loaded(*span) for span in each] for each in (before, past))
        return recent, [each for each in loaded if each.devices]

    @functools.cached_property
    def _attributes(self) -> dict[str, dict[str, str]]:
        # Read once: all windows of one look are of the same devices.
        return self._fleet.attributes(self._of[0])

    def _evaluate(self, state: MonitoringState, start: int, end: int, now: float) -> None:
        window, policy = self.load(start, end), self._policy
        recent, past = self._earlier(window)
        references = replace(self._references(window), past=past)
        findings = evaluate(window, references, outputs=policy.outputs)
        findings = self._beside_the_last_day(window, references, findings)
        if len(recent) == policy.in_a_row - 1:
            compared = self._profile.outputs if policy.outputs else ()
            scanned = scan([*recent, window], past, (*self._profile.features, *compared))
            day = self._days.of(start, end)
            last = self._days.last(day) if day is not None else None
            findings += rare_days.judged(scanned, day, last, None)
        state.watched_to, state.streaks = end, extend_streaks(state.streaks, findings)
        # A scan looks at so many windows by itself: the same devices changed in each of them.
        kinds: dict[Kind, int] = dict.fromkeys(("drift", "domain", "estimate"), policy.in_a_row)
        raised = self._explained(window, due_alarms(findings, state.streaks, kinds))
        # Answers by group are sums over all windows: one window in a row is enough.
        selected = self._selections()
        findings += selected
        raised += [finding for finding in selected if finding.alarming]
        rows = [(finding, start, end) for finding in findings]
        self._raised |= bool(raised)
        self._store.save(*self._of, state, rows, [(f, start) for f in raised], now)

    def _beside_the_last_day(
        self, window: FleetWindow, references: References, findings: list[Finding]
    ) -> list[Finding]:
        """On a rare day, say which findings are as on the last one like it."""
        day = self._days.of(window.start, window.end)
        if day is None or not any(finding.alarming for finding in findings):
            return findings
        last = self._days.last(day)
        counts = None if last is None else self._counts_of(last, day, window)
        if last is None or counts is None:
            return rare_days.judged(findings, day, last, None)
        against = rare_days.references(references, counts)
        compared = evaluate(window, against, outputs=self._policy.outputs)
        return rare_days.judged(findings, day, last, compared)

    def _counts_of(
        self, last: Occurrence, day: Occurrence, window: FleetWindow
    ) -> dict[str, NDArray[Any]] | None:
        """Histograms of the last such day, at the same time of it where hours differ."""
        sums = self._windows.by_version(self._of[0], start=int(last.begin), end=int(last.end))
        profiles = {
            version: self._registry.release(self._of[0], version).profile()
            for version in {each.version for each in sums}
        }
        seasonal = self._policy.reference == "season"
        offset = window.start - day.begin if seasonal else None
        return last_day.counts(
            sums, profiles, self._profile, least=self._policy.minimum,
            at=last.begin + offset if offset is not None else None,
        )  # fmt: skip

    def _close_expected(self, state: MonitoringState, now: float) -> None:
        """End the alarms of a rare day once all of its windows were evaluated."""
        is_open = self._days.of(state.watched_to, state.watched_to + 1) is not None
        if not is_open and any(alarm.expected for alarm in self._store.alarms(self._of[0])):
            self._store.close_expected(self._of[0], "calendar: the day is over", now)

    def _references(self, window: FleetWindow) -> References:
        others: dict[str, NDArray[Any]] = {}
        usual_effects: dict[str, Usual] = {}
        if self._policy.reference == "season":
            past = self._windows.season(
                *self._of, self._profile, at=window.start, weeks=SEASON_WEEKS
            )
            past = self._days.ordinary(past, window.start, window.end)
            seasonal = seasonal_reference(past, window.start, least=self._policy.minimum)
            others |= seasonal or {}
            # Too little history for this hour: training is the reference, and only what is unusual
            # beside earlier windows alarms, or every night would.
            if seasonal is None:
                effects = self._store.effects(*self._of, "drift").items()
                usual_effects = {
                    name: each for name, e in effects if (each := usual(e)) is not None
                }
        for name, own in self._store.baselines(*self._of).items():
            # A device without a baseline, new since then, is compared with all others.
            pooled = np.sum(list(own.values()), axis=0)
            others[name] = np.stack([own.get(device, pooled) for device in window.devices])
        return References(self._profile, others, usual_effects)

    def _explained(self, window: FleetWindow, raised: Sequence[Finding]) -> list[Finding]:
        """Add to new alarms of features how they moved the output."""
        # Only new alarms: running the model on the held-out rows in every window would be waste.
        if not raised:
            return []
        open_ = {alarm.signal for alarm in self._store.alarms(self._of[0], version=self._of[1])}
        names = {f.name for f in self._profile.features}
        new = [
            f.signal.partition(":")[2]
            for f in raised
            if f.kind == "drift" and f.signal not in open_
        ]
        drifted = [name for name in new if name in names][:EXPLAINED]
        if not drifted:
            return list(raised)
        held_out = self._datasets.rows(self._of[0], HOLDOUT)
        shift = explain_drift(self._release, held_out, window, drifted)
        return [
            replace(f, figures=replace(f.figures, output=shift))
            if isinstance(f.figures, DriftFigures)
            else f
            for f in raised
        ]

    def _score_labels(self, state: MonitoringState, now: float) -> None:
        concept, policy = state.concept, self._policy
        covered = self._windows.coverage(*self._of, after=concept.scored_to)
        windows = settled(
            covered, coverage=policy.label_coverage, wait=policy.label_wait_seconds, now=now
        )
        if not windows:
            return
        if concept.base is None:  # the first labels of this version
            concept.base = self._promised_errors()
        start, end, after = windows[0].start, windows[-1].end, concept.scored_to
        rows = self._windows.labelled(
            *self._of, after=concept.scored_to, until=windows[-1].start + 1
        )
        findings = [labels.score(concept, windows, rows, policy)]
        findings += self._compare_groups(concept, start, windows[-1].start + 1)
        # Windows without labels move the state on, and leave no figures.
        findings = findings if rows else []
        findings += self._score_sizes(concept, after, windows[-1].start + 1)
        stored = [(finding, start, end) for finding in findings]
        raised = [(finding, start) for finding in findings if finding.alarming]
        self._raised |= bool(raised)
        self._store.save(*self._of, state, stored, raised, now)

    def _score_sizes(self, concept: Concept, after: int, until: int) -> list[Finding]:
        """How far off numbers were, as far as labels came and errors have a bound."""
        if self._largest_error is None:
            return []
        rows = self._windows.measured(*self._of, after=after, until=until)
        if not rows:
            return []
        concept.sizes, finding = mean_error.score(
            concept.sizes, rows, self._largest_error, self._policy.mean_run
        )
        return [finding]

    def _compare_groups(self, concept: Concept, after: int, until: int) -> list[Finding]:
        """Groups of devices and of rows, and the labels of the latter that were settled now."""
        policy, declared = self._policy, self._release.manifest.groups
        of_devices = groups.by_attribute(concept, self._attributes, policy.groups)
        if not declared:
            return groups.compare(of_devices, policy)
        of_rows = groups.comparable(self._sums.labels(*self._of, until=until), declared)
        windows = self._sums.windows(*self._of, after=after, until=until)
        # Without a score of the whole, those of its groups promise nothing either.
        bases = groups.promised(self._release.certificate()) if self._promised_errors() else {}
        count = sum(len(column.groups) for column in declared)
        return [
            *groups.compare(of_devices | of_rows, policy),
            *groups.score(concept, windows, bases, policy, count=count),
        ]

    def _selections(self) -> list[Finding]:
        """Findings on the answers to groups of rows so far."""
        label = next((o for o in self._profile.outputs if o.name == "label"), None)
        if label is None or not self._release.manifest.groups:
            return []
        declared = self._release.manifest.groups
        answers = groups.comparable(self._sums.answers(*self._of), declared)
        return groups.selections(answers, label.categories or (), self._policy)

    def _promised_errors(self) -> float | None:
        """The error rate on the rows that the release was certified on."""
        manifest = self._release.manifest
        score = manifest.metrics.get("score")
        if score is None or manifest.task != "classification":
            return None
        rows = self._release.certificate().rows
        return base_rate(round((1 - score) * rows), rows)


def pools(windows: Sequence[Closed], minimum: int) -> Iterator[tuple[int, int]]:
    """Join neighbouring windows until each pool has enough observations; yield (start, end).

    Windows that are left over wait for more.

    Args:
        windows: closed ones, in order of time.
        minimum: observations of a pool.
    """
    start, observations = None, 0
    for window in windows:
        start = window.start if start is None else start
        observations += window.observations
        if observations >= minimum:
            yield start, window.end
            start, observations = None, 0
