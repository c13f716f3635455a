"""A recorded fleet as a scenario: what devices reported by window, replayed under other rules.

Devices, traffic, label coverage and the quality of each version that ran are taken from the
recording, by cohort and day. How a version would have done in a cohort where it never ran is in no
recording: that is as the scenario declares it, and is said.
"""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cloud_hub.errors import Invalid
from cloud_hub.simulate.scenario import (
    DAY,
    HOUR,
    FleetCohort,
    LateLabels,
    Quality,
    Scenario,
    Shift,
    SimulatedVersion,
    Spread,
)

if TYPE_CHECKING:
    from sqlalchemy import Engine

COLUMNS: Final = ("device", "start", "version", "predictions", "errors", "labelled", "correct")
ATTRIBUTE: Final = "attribute:"
ENOUGH_LABELS: Final = 500
"""Labels of a version, cohort and day from which its accuracy of that day is taken."""

MOST_COHORTS: Final = 200


@dataclass(frozen=True)
class RecordedWindow:
    """One window of one device; ``start`` in Unix seconds."""

    device: str
    start: float
    version: str
    predictions: int
    errors: int
    labelled: int
    correct: int
    attributes: tuple[tuple[str, str], ...] = ()


def read_recorded(file: Path) -> list[RecordedWindow]:
    """Read a CSV file of windows.

    Its columns are :data:`COLUMNS`, and one ``attribute:NAME`` for each attribute.

    Raises:
        Invalid: with the line, what was expected and what was read.
    """
    with file.open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(lines)
        missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
        if missing:
            raise Invalid(f"{file}:1: expected columns {', '.join(COLUMNS)}; {missing} are missing")
        return [_window(row, f"{file}:{rows.line_num}") for row in rows]


def _window(row: Mapping[str, Any], place: str) -> RecordedWindow:
    try:
        start = float(row["start"])
        counts = [int(row[name]) for name in COLUMNS[3:]]
    except (TypeError, ValueError) as error:
        raise Invalid(f"{place}: expected numbers; {error}") from error
    predictions, errors, labelled, correct = counts
    if min(counts) < 0 or correct > labelled or not math.isfinite(start):
        raise Invalid(f"{place}: expected counts from 0, correct up to labelled, got {counts}")
    attributes = tuple(
        (name.removeprefix(ATTRIBUTE), value)
        for name, value in row.items()
        if name and name.startswith(ATTRIBUTE) and value
    )
    return RecordedWindow(
        row["device"], start, row["version"], predictions, errors, labelled, correct, attributes
    )


def recorded_by(engine: Engine, model: str) -> list[RecordedWindow]:
    """Return the windows that a hub has of a model, which are those that were not rolled up yet.

    Args:
        engine: of the hub's database; it is only read.
        model: name of the model.
    """
    from sqlalchemy import func, select

    from cloud_hub.fleet.tables import devices
    from cloud_hub.telemetry.tables import feedback, reports

    r, f, d = reports.c, feedback.c, devices.c
    asked = select(
        r.device, r.start, r.version, func.sum(r.predictions), func.sum(r.failures)
    ).where(r.model == model).group_by(r.device, r.start, r.version)  # fmt: skip
    told = select(
        f.device, f.start, f.version, func.sum(f.own_labelled), func.sum(f.own_correct)
    ).where(f.model == model).group_by(f.device, f.start, f.version)  # fmt: skip
    with engine.connect() as db:
        known = {
            row.device: tuple(sorted(row.attributes.items()))
            for row in db.execute(select(d.device, d.attributes).where(d.model == model))
        }
        labels = {tuple(row[:3]): (int(row[3]), int(row[4])) for row in db.execute(told)}
        return [
            RecordedWindow(
                device, start, version, int(n), int(failed),
                *labels.get((device, start, version), (0, 0)), known[device],
            )
            for device, start, version, n, failed in db.execute(asked)
            if device in known
        ]  # fmt: skip


@dataclass
class _Sums:
    predictions: int = 0
    errors: int = 0
    labelled: int = 0
    correct: int = 0

    def add(self, row: RecordedWindow) -> None:
        self.predictions += row.predictions
        self.errors += row.errors
        self.labelled += row.labelled
        self.correct += row.correct


Cohort = tuple[tuple[str, str], ...]


def with_recorded(
    scenario: Scenario, windows: Iterable[RecordedWindow]
) -> tuple[Scenario, tuple[str, ...]]:
    """Return a scenario with the fleet and the versions of a recording, and what is not known.

    Args:
        scenario: of which everything else is kept, and the versions that never ran.
        windows: of the recording.

    Raises:
        Invalid: nothing was recorded, or devices have too many different attributes.
    """
    rows = sorted(windows, key=lambda row: row.start)
    if not rows:
        raise Invalid("recorded: expected windows of devices, there are none")
    begin = rows[0].start
    cohorts = _cohorts(rows)
    names = {cohort: _name(cohort) for cohort in cohorts}
    sums: dict[tuple[str, Cohort], dict[int, _Sums]] = defaultdict(lambda: defaultdict(_Sums))
    for row in rows:
        sums[row.version, row.attributes][int((row.start - begin) // DAY)].add(row)
    versions = {version: dict[str, dict[int, _Sums]]() for version, _ in sums}
    for (version, cohort), days in sums.items():
        versions[version][names[cohort]] = days
    measured = [_version(scenario, name, cohort_days) for name, cohort_days in versions.items()]
    declared = [v for v in scenario.versions if v.version not in versions]
    lasted = max(rows[-1].start - begin + scenario.window_seconds, scenario.window_seconds)
    fleet = tuple(
        FleetCohort(names[c], len(devices) / sum(map(len, cohorts.values())), dict(c),
                    requests=_requests(rows, c, len(devices), lasted))
        for c, devices in cohorts.items()
    )  # fmt: skip
    known = replace(
        scenario, devices=sum(map(len, cohorts.values())), cohorts=fleet,
        labels=_labels(rows, scenario),
        versions=(*measured, *(_everywhere(v, names.values()) for v in declared)),
        spread=_spread(rows, scenario.spread),
    )  # fmt: skip
    return known, tuple(_unknown(versions, declared, names.values()))


def _cohorts(rows: Iterable[RecordedWindow]) -> dict[Cohort, set[str]]:
    cohorts: dict[Cohort, set[str]] = defaultdict(set)
    for row in rows:
        cohorts[row.attributes].add(row.device)
    if len(cohorts) > MOST_COHORTS:
        raise Invalid(
            f"recorded: devices have {len(cohorts)} different sets of attributes, expected at most "
            f"{MOST_COHORTS}; leave out those that name devices"
        )
    return cohorts


def _name(cohort: Cohort) -> str:
    shown = "-".join(value for _, value in cohort) or "everybody"
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in shown)[:60]


def _requests(rows: Iterable[RecordedWindow], cohort: Cohort, devices: int, lasted: float) -> float:
    total = sum(row.predictions + row.errors for row in rows if row.attributes == cohort)
    return max(total / devices / (lasted / HOUR), 1e-6)


def _labels(rows: Iterable[RecordedWindow], scenario: Scenario) -> LateLabels:
    sums = _Sums()
    for row in rows:
        sums.add(row)
    coverage = min(1.0, sums.labelled / max(sums.predictions, 1))
    # When labels came is not in the windows: the scenario says it.
    return LateLabels(coverage, scenario.labels.delay_seconds)


def _spread(rows: Iterable[RecordedWindow], declared: Spread) -> Spread:
    """How much devices differ in their requests, beyond chance; the rest is as declared."""
    totals: dict[str, int] = defaultdict(int)
    for row in rows:
        totals[row.device] += row.predictions + row.errors
    mean = sum(totals.values()) / len(totals)
    if len(totals) < 2 or not mean:
        return declared
    variance = sum((n - mean) ** 2 for n in totals.values()) / (len(totals) - 1)
    beyond = max(0.0, variance - mean) / mean**2
    return replace(declared, requests=min(math.sqrt(beyond), 5.0))


def _version(
    scenario: Scenario, name: str, cohorts: Mapping[str, Mapping[int, _Sums]]
) -> SimulatedVersion:
    """A version as it was: its whole accuracy by cohort, and by how much each day differed."""
    declared = scenario.version(name) or SimulatedVersion(name)
    found: dict[str, Quality] = {}
    changes: list[Shift] = []
    for cohort, days in cohorts.items():
        whole = _Sums()
        for day in days.values():
            whole.predictions += day.predictions
            whole.errors += day.errors
            whole.labelled += day.labelled
            whole.correct += day.correct
        accuracy = whole.correct / whole.labelled if whole.labelled else None
        errors = whole.errors / max(whole.errors + whole.predictions, 1)
        found[cohort] = Quality(accuracy, errors)
        changes += _by_day(cohort, days, accuracy)
    return replace(declared, cohorts=found, changes=tuple(changes))


def _by_day(cohort: str, days: Mapping[int, _Sums], accuracy: float | None) -> Iterator[Shift]:
    before = accuracy or 0.0
    for number, day in sorted(days.items()):
        if accuracy is None or day.labelled < ENOUGH_LABELS:
            continue
        now = day.correct / day.labelled
        yield Shift(number * DAY, cohort=cohort, accuracy=now - before)
        before = now


def _everywhere(version: SimulatedVersion, names: Iterable[str]) -> SimulatedVersion:
    """A declared version without what it says of cohorts that the recording does not have."""
    there = set(names)
    return replace(
        version, cohorts={c: q for c, q in version.cohorts.items() if c in there},
        changes=tuple(c for c in version.changes if c.cohort is None or c.cohort in there),
    )  # fmt: skip


def _unknown(
    ran: Mapping[str, Mapping[str, Any]], declared: Iterable[SimulatedVersion], names: Iterable[str]
) -> Iterator[str]:
    every = list(names)
    for version in declared:
        yield f"{version.version} never ran: how good it is is as the scenario says"
    for name, cohorts in ran.items():
        missing = [cohort for cohort in every if cohort not in cohorts]
        if missing:
            yield f"{name} never ran in {', '.join(missing)}: there it is as the scenario says"
    yield "how devices would have differed on versions that they did not run: as the cohort did"
    yield "when labels came: as the scenario's labels.delay says"
