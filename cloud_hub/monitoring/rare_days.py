"""Rare days in monitoring: what is expected on one, and windows of which days are alike. Pure.

On a rare day inputs are unlike training, and somebody who is alarmed each time looks no more. So a
finding is ``expected`` on such a day, unless it is there beside the last such day too: then it is
new. Errors on late labels, and groups that are treated worse, are never expected: they do harm on
any day.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from numpy.typing import NDArray

from cloud_hub.calendar.occurrence import Occurrence, last_before, open_at
from cloud_hub.monitoring.figures import DriftFigures
from cloud_hub.monitoring.findings import Finding, References

BACK: Final = 400 * 86_400.0
"""Seconds back in which the last such day is looked for: a year, and the days that it may move."""

EXPECTED: Final = ("drift", "domain", "devices", "estimate")
"""Kinds of findings that a rare day explains: all that look at what devices see and answer."""

COMPARED: Final = ("drift", "domain")
"""Those that can be held against the last such day."""

Row = TypeVar("Row", bound=tuple[Any, ...])


@dataclass(frozen=True)
class RareDays:
    """Occurrences of rare days, of the last year and now."""

    known: tuple[Occurrence, ...] = ()

    def of(self, start: float, end: float) -> Occurrence | None:
        """Return the day on which most of a window is, ``start`` to ``end`` in Unix seconds."""
        return open_at(self.known, (start + end) / 2)

    def last(self, day: Occurrence) -> Occurrence | None:
        """Return the last day like this one, if there was one."""
        return last_before(self.known, day)

    def comparable(
        self, windows: Sequence[tuple[int, int]], start: float, end: float
    ) -> list[tuple[int, int]]:
        """Leave out windows (start, end) of rare days, unless the one from ``start`` is of one."""
        if self.of(start, end) is not None:
            return list(windows)
        return [each for each in windows if self.of(*each) is None]

    def ordinary(self, rows: Iterable[Row], start: float, end: float) -> list[Row]:
        """Leave out rows, which begin with their time, likewise."""
        if self.of(start, end) is not None:
            return list(rows)
        return [row for row in rows if open_at(self.known, float(row[0])) is None]


def references(against: References, counts: Mapping[str, NDArray[Any]]) -> References:
    """Return references that are the last such day in place of training.

    Args:
        against: references of any other day.
        counts: histograms [bins + 2] of the last such day, by name; all features.
    """
    features = tuple(
        replace(feature, counts=tuple(int(count) for count in counts[feature.name]))
        for feature in against.training.features
    )
    return References(
        replace(against.training, features=features), others=counts, past=against.past
    )


def judged(
    findings: Sequence[Finding],
    day: Occurrence | None,
    last: Occurrence | None,
    beside: Sequence[Finding] | None,
) -> list[Finding]:
    """Return findings of a window of a rare day as expected, or as what is new beside the last.

    Args:
        findings: beside training, or what is usual.
        day: on which the window is; ``None``: on no rare day.
        last: the last such day, if there was one.
        beside: the findings beside that; ``None`` if too little is known of it, or they are of a
            kind that cannot be compared.
    """
    if day is None:
        return list(findings)
    new = {f.signal: f for f in beside or () if f.alarming and f.kind in COMPARED}
    known = beside is not None
    return [_judged(f, day, last, new.get(f.signal), known=known) for f in findings]


def _judged(
    finding: Finding, day: Occurrence, last: Occurrence | None, new: Finding | None, *, known: bool
) -> Finding:
    if not finding.alarming or finding.kind not in EXPECTED:
        return finding
    if new is None:
        told = "the first that was seen" if last is None else f"as on the {last.title}"
        if last is not None and not (known and finding.kind in COMPARED):
            told = f"not compared with the {last.title}"
        return replace(finding, expected=f"{day.day}: {told}")
    assert last is not None
    note = f"beside the {last.title}"
    if isinstance(new.figures, DriftFigures):
        return replace(new, figures=replace(new.figures, note=note))
    return new
