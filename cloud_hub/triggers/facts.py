"""Facts that a trigger is judged on, and the history that gives them for any moment. Pure.

A live evaluation and a dry run ask the same :class:`ServingHistory`, the one for now, the other
for every moment in the past.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from cloud_hub.calendar.occurrence import Occurrence
from cloud_hub.database.documents import Document


@dataclass(frozen=True)
class LabelCounts:
    """Late labels of the predictions of one window, over all devices; ``available_at`` is when the
    hub could have had them. Times in Unix seconds.
    """

    start: float
    labelled: int
    correct: int
    available_at: float


@dataclass(frozen=True)
class LabelBatch:
    """Late labels that one device sent at once, for its predictions of one window.

    ``order`` rises with the time at which they came; ``start`` (of the window) and
    ``available_at`` are Unix seconds.
    """

    order: int
    start: float
    device: str
    labelled: int
    correct: int
    available_at: float


Batches = Mapping[str, Mapping[str, tuple[LabelBatch, ...]]]
"""Batches by column or attribute, and group; those of all rows are the group ``""`` of ``""``."""

Came = TypeVar("Came", LabelCounts, LabelBatch)


@dataclass(frozen=True)
class ErrorCounts:
    """Errors of the predictions of one window, over all devices: how many were ``measured``, and
    the sum of their shares of the largest error that counts. ``available_at`` as of labels.
    """

    start: float
    measured: float
    shares: float
    available_at: float


Groups = Mapping[str, Mapping[str, tuple[LabelCounts, ...]]]
"""Late labels by column or attribute, and group."""


@dataclass(frozen=True)
class OpenAlarm:
    """An alarm of monitoring, open from ``raised_at`` until it was acknowledged, if it was;
    ``expected`` says why nobody need be alarmed: a rare day.
    """

    signal: str
    kind: str
    raised_at: float
    acknowledged_at: float | None = None
    evidence: Document = field(default_factory=dict)
    expected: str | None = None

    def open_at(self, now: float) -> bool:
        """Return whether nobody had acknowledged it at ``now`` (Unix seconds)."""
        acknowledged = self.acknowledged_at is not None and self.acknowledged_at <= now
        return self.raised_at <= now and not acknowledged


@dataclass(frozen=True)
class VersionFacts:
    """One version, and everything that devices reported about it."""

    version: str
    published_at: float
    training_rows: int
    labels: tuple[LabelCounts, ...] = ()
    alarms: tuple[OpenAlarm, ...] = ()
    groups: Groups = field(default_factory=dict)
    batches: Batches = field(default_factory=dict)
    errors: tuple[ErrorCounts, ...] = ()
    largest_error: float | None = None


@dataclass(frozen=True)
class Facts:
    """Everything that the hub has at ``now`` about the version that serves ``since``.

    ``labels`` and ``errors`` are in order of time, ``groups`` the labels of each group by column or
    attribute, ``batches`` the newest of all labels by device, as they came; ``alarms`` are open;
    ``new_rows`` were shared since it was published; ``days`` are rare ones, open or to
    come.
    """

    now: float
    since: float
    serving: VersionFacts
    labels: tuple[LabelCounts, ...] = ()
    alarms: tuple[OpenAlarm, ...] = ()
    new_rows: int = 0
    groups: Groups = field(default_factory=dict)
    batches: Batches = field(default_factory=dict)
    errors: tuple[ErrorCounts, ...] = ()
    days: tuple[Occurrence, ...] = ()

    @property
    def labelled(self) -> int:
        """Number of late labels of the serving version."""
        # A regressor without right_within has errors, and nothing that is right or wrong.
        known = sum(window.labelled for window in self.labels)
        return known or round(sum(window.measured for window in self.errors))


@dataclass(frozen=True)
class ServingHistory:
    """Versions with the times at which they began to serve, and the reports about each.

    ``serving`` and ``sampled`` (when they were available, how many shared rows) are ascending in
    time, Unix seconds; ``days`` are rare ones.
    """

    serving: tuple[tuple[float, str], ...]
    versions: Mapping[str, VersionFacts]
    sampled: Sequence[tuple[float, int]] = ()
    days: tuple[Occurrence, ...] = ()

    def at(self, now: float) -> Facts | None:
        """Return the facts as of ``now`` (Unix seconds); ``None`` if nothing served yet."""
        begun = bisect_right(self.serving, now, key=lambda served: served[0])
        if not begun:
            return None
        since, name = self.serving[begun - 1]
        version = self.versions[name]
        new_rows = sum(n for at, n in self.sampled if version.published_at <= at <= now)
        return Facts(
            now=now,
            since=since,
            serving=version,
            labels=_available(version.labels, now),
            alarms=tuple(alarm for alarm in version.alarms if alarm.open_at(now)),
            new_rows=new_rows,
            groups={
                by: {name: _available(windows, now) for name, windows in groups.items()}
                for by, groups in version.groups.items()
            },
            batches={
                by: {name: _available(batches, now) for name, batches in groups.items()}
                for by, groups in version.batches.items()
            },
            errors=tuple(window for window in version.errors if window.available_at <= now),
            days=tuple(day for day in self.days if day.end > now),
        )


def _available(windows: tuple[Came, ...], now: float) -> tuple[Came, ...]:
    return tuple(window for window in windows if window.available_at <= now)


class StartedRun(NamedTuple):
    """When a trigger started a run (Unix seconds), and the kind of its condition."""

    at: float
    kind: str


@dataclass(frozen=True)
class Call:
    """Newest call of another system: its time (Unix seconds), body, and how many there were."""

    at: float
    count: int
    said: Document


@dataclass(frozen=True)
class AccuracyWatch:
    """State of the detector of one ``performance`` condition.

    ``order`` is that of the newest batch that it has seen, ``looked_at`` when that was (Unix
    seconds); ``evidence`` is that of each bet by group, in seconds.
    """

    version: str
    order: int
    looked_at: float
    evidence: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class TriggerState:
    """State of a rule between two evaluations.

    ``fired_at`` and ``fired_version`` tell the last firing (``None`` once another version serves),
    ``rearmed`` that somebody armed it again since; ``held_since`` is when its condition began to
    hold without a break; ``watches`` are its detectors, by condition.
    """

    fired_at: float | None = None
    fired_version: str | None = None
    rearmed: bool = False
    held_since: float | None = None
    call: Call | None = None
    watches: Mapping[str, AccuracyWatch] = field(default_factory=dict)
