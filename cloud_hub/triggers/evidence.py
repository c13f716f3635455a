"""Evidence of a condition's verdict: the figures that it was decided on, for a person to check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from cloud_hub.database.documents import Document, as_document, omitted


@dataclass(frozen=True)
class IntervalEvidence:
    """Evidence of ``every``; ``due`` is ISO 8601 in UTC."""

    every_seconds: float
    due: str


@dataclass(frozen=True)
class CronEvidence:
    """Evidence of ``cron``; ``due`` is ISO 8601 in UTC."""

    cron: str
    due: str


@dataclass(frozen=True)
class DayEvidence:
    """Evidence of ``day``: the day with its date and its end, if it is open, and when the next run
    is due; else when it comes next, if it does within the time looked at. ISO 8601 in UTC.
    """

    day: str
    open: str | None = omitted()
    ends: str | None = omitted()
    due: str | None = omitted()
    comes: str | None = omitted()


@dataclass(frozen=True)
class CallEvidence:
    """Evidence of ``webhook``: number of calls since the last firing, time and body of the newest.

    The body is called ``said`` in what is stored and sent.
    """

    calls: int
    at: str | None = omitted()
    said: Document | None = omitted()


@dataclass(frozen=True)
class ManualEvidence:
    """Evidence of ``manual``, which never fires by itself."""

    waits_for: str = "a person"


@dataclass(frozen=True)
class AccuracyFigures:
    """Accuracy on late labels of the lookback, ``None`` without labels, and the evidence that it is
    below the limit.

    Evidence is a time: without a fall, it is reached once in that time on average, at most. The
    rule fires where it reaches ``fires_at_seconds``.
    """

    labelled: int
    accuracy: float | None
    evidence_seconds: float
    fires_at_seconds: float


@dataclass(frozen=True)
class PerformanceEvidence(AccuracyFigures):
    """Evidence of ``performance`` over all rows, with the limits of the rule."""

    below: float
    minimum: int


@dataclass(frozen=True)
class GroupAccuracy(AccuracyFigures):
    """Accuracy of one group."""

    group: str


@dataclass(frozen=True)
class GroupedPerformanceEvidence:
    """Evidence of ``performance`` by groups: the worst groups, and the limits of the rule."""

    by: str
    groups: tuple[GroupAccuracy, ...]
    below: float
    minimum: int
    note: str | None = omitted()


@dataclass(frozen=True)
class MeanErrorEvidence:
    """Evidence of ``performance`` by ``mae_above``; errors are in the unit of the target.

    It fires when ``evidence`` reaches ``fires_from``, the mean number of labels to a false alarm.
    """

    measured: int
    mae: float | None
    mae_above: float
    largest_error: float | None
    evidence: float
    fires_from: float
    minimum: int
    note: str | None = omitted()


@dataclass(frozen=True)
class VolumeEvidence:
    """Evidence of ``volume``: labelled rows shared since the serving version was published."""

    new_rows: int
    training_rows: int
    needed: int


@dataclass(frozen=True)
class AlarmSummary:
    """An open alarm with its own evidence; ``raised`` is ISO 8601 in UTC."""

    signal: str
    raised: str
    evidence: Document

    def document(self) -> Document:
        """As JSON: the alarm's figures stand beside its name."""
        return {"signal": self.signal, "raised": self.raised, **self.evidence}


@dataclass(frozen=True)
class DriftEvidence:
    """Evidence of ``drift``: the number of open alarms, the number needed, the worst of them."""

    alarms: int
    needed: int
    worst: tuple[AlarmSummary, ...]


@dataclass(frozen=True)
class PartEvidence:
    """One of several combined conditions."""

    condition: str
    holds: bool
    evidence: Evidence

    def document(self) -> Document:
        """As JSON: the part's figures stand beside its name."""
        return {"condition": self.condition, "holds": self.holds, **as_document(self.evidence)}


@dataclass(frozen=True)
class CombinedEvidence:
    """Evidence of ``all`` or ``any``, part by part."""

    kind: Literal["all", "any"]
    parts: tuple[PartEvidence, ...]

    def document(self) -> Document:
        """As JSON: the parts by the word that combines them."""
        return {self.kind: self.parts}


@dataclass(frozen=True)
class HandEvidence:
    """Evidence of a firing by hand: who, and why."""

    by: str
    reason: str


Evidence: TypeAlias = (
    IntervalEvidence
    | CronEvidence
    | DayEvidence
    | CallEvidence
    | ManualEvidence
    | PerformanceEvidence
    | GroupedPerformanceEvidence
    | MeanErrorEvidence
    | VolumeEvidence
    | DriftEvidence
    | CombinedEvidence
    | HandEvidence
)
