"""What a trigger is judged on, and how history gives it for any moment. Pure.

A live evaluation and a dry run ask the same :class:`ServingHistory`, the one for now, the other
for every moment in the past.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class LabelCounts:
    """Late labels of the predictions of one window, over all devices; ``known`` is when the hub
    could have known them.
    """

    start: float
    labelled: int
    correct: int
    known: float


Groups = Mapping[str, Mapping[str, tuple[LabelCounts, ...]]]
"""Late labels by column or attribute, and group."""


@dataclass(frozen=True)
class OpenAlarm:
    """An alarm of monitoring, open from ``raised_at`` until it was acknowledged, if it was."""

    signal: str
    kind: str
    raised_at: float
    acknowledged_at: float | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def open_at(self, now: float) -> bool:
        """Whether it waited for an answer then."""
        answered = self.acknowledged_at is not None and self.acknowledged_at <= now
        return self.raised_at <= now and not answered


@dataclass(frozen=True)
class VersionFacts:
    """One version, and everything that came in about it."""

    version: str
    published_at: float
    training_rows: int
    labels: tuple[LabelCounts, ...] = ()
    alarms: tuple[OpenAlarm, ...] = ()
    groups: Groups = field(default_factory=dict)


@dataclass(frozen=True)
class Facts:
    """Everything that is known at ``now`` about the version that serves ``since``.

    ``labels`` are in order of time, ``groups`` those of each group by column or attribute,
    ``alarms`` are open; ``new_rows`` were shared since it was published.
    """

    now: float
    since: float
    serving: VersionFacts
    labels: tuple[LabelCounts, ...] = ()
    alarms: tuple[OpenAlarm, ...] = ()
    new_rows: int = 0
    groups: Groups = field(default_factory=dict)

    @property
    def labelled(self) -> int:
        """Late labels of the serving version."""
        return sum(window.labelled for window in self.labels)


@dataclass(frozen=True)
class ServingHistory:
    """What served when, and what came in.

    ``sampled`` are (when it was known, how many) of shared rows, ascending.
    """

    serving: tuple[tuple[float, str], ...]
    versions: Mapping[str, VersionFacts]
    sampled: Sequence[tuple[float, int]] = ()

    def at(self, now: float) -> Facts | None:
        """The facts as of ``now`` (Unix seconds); ``None`` if nothing served yet."""
        found = bisect_right(self.serving, now, key=lambda served: served[0])
        if not found:
            return None
        since, name = self.serving[found - 1]
        version = self.versions[name]
        new_rows = sum(n for at, n in self.sampled if version.published_at <= at <= now)
        return Facts(
            now=now,
            since=since,
            serving=version,
            labels=_known(version.labels, now),
            alarms=tuple(alarm for alarm in version.alarms if alarm.open_at(now)),
            new_rows=new_rows,
            groups={
                by: {name: _known(windows, now) for name, windows in groups.items()}
                for by, groups in version.groups.items()
            },
        )


def _known(windows: tuple[LabelCounts, ...], now: float) -> tuple[LabelCounts, ...]:
    return tuple(window for window in windows if window.known <= now)


@dataclass(frozen=True)
class Call:
    """Somebody else's system called a trigger: the newest call, and how many there were."""

    at: float
    count: int
    said: Mapping[str, Any]


@dataclass(frozen=True)
class TriggerState:
    """What is remembered of a rule between two evaluations.

    ``fired_at`` and ``fired_version`` tell the last firing, ``rearmed`` that somebody armed it
    again since; ``held_since`` is when its condition began to hold without a break.
    """

    fired_at: float | None = None
    fired_version: str | None = None
    rearmed: bool = False
    held_since: float | None = None
    call: Call | None = None
