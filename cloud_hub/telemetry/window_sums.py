"""Sums of windows over all devices, added up as reports come in.

A version has a row for each arm, window and writer: a question about a fleet's day costs the same
however many devices there are. ``body`` is the sum of window reports, as ``retention`` makes it of
stored ones. Rows of ``reports`` and ``feedback`` that are marked ``summed`` are in here; those that
an older hub wrote are not, and count beside these.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from sqlalchemy import delete, select

from cloud_hub.database.bulk import insert_adding, known_keys, rows_by_key
from cloud_hub.telemetry.histograms import histograms_of
from cloud_hub.telemetry.summed_bodies import merged_bodies
from cloud_hub.telemetry.tables import reports, totals, window_sums
from edge_sdk.contract.histograms import NO_HISTOGRAMS
from edge_sdk.telemetry.histogram_codec import encode_histograms
from edge_sdk.telemetry.histograms import HistogramCounts
from edge_sdk.telemetry.resources import worst

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sqlalchemy import Connection

    from cloud_hub.telemetry.histograms import ReportHistograms
    from edge_sdk.contract.messages import FeedbackReport, WindowReport
    from edge_sdk.contract.window import Window

HOUR: Final = 3_600
LABELS: Final = ("labelled", "correct", "own_labelled", "own_correct", "measured")
ERRORS: Final = ("error_sum", "error_squares")
COUNTED: Final = ("degraded", "defaulted", "stale", "units")
NUMBERS: Final = ("devices", "observations", *LABELS, *ERRORS)
"""Columns that add up."""

Body = Mapping[str, Any]
Adding = Callable[[Body], Body]
"""Returns the body of a row, which is empty where there is no row, with something added."""

_REPORTED: Final = ("model", "version", "start", "device", "experiment", "arm", "end")


class WindowSumKey(NamedTuple):
    """Key of a row; ``experiment`` is empty for none, ``part`` that of the writer."""

    model: str
    version: str
    experiment: str
    arm: str
    start: int
    end: int
    part: int


@dataclass
class _Addition:
    """What reports add to one row."""

    numbers: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    predictions: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    latency: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    resources: Mapping[str, float] = field(default_factory=dict)
    energy: Counter[str] = field(default_factory=Counter)
    histograms: HistogramCounts | None = None
    reports: int = 0

    def add_report(self, report: WindowReport, histograms: ReportHistograms) -> None:
        self.reports += 1
        self.numbers["observations"] += report.observations
        self.predictions.update(report.predictions)
        self.errors.update(report.errors)
        self.lost.update(report.lost)
        for name in COUNTED:
            self.counts[name] += getattr(report, name)
        for source, row in report.latency.items():
            counts = np.array(row, dtype=np.int64)
            self.latency[source] = (
                self.latency[source] + counts if source in self.latency else counts
            )
        if report.resources:
            self.resources = worst([self.resources, report.resources])
        if report.energy is not None:
            self.energy.update(vars(report.energy))
        if report.observations:
            self._add_histograms(histograms)

    def _add_histograms(self, histograms: ReportHistograms) -> None:
        both = (histograms.features, histograms.outputs)
        flat = np.concatenate([each.flat for each in both])
        if self.histograms is None:
            self.histograms = HistogramCounts(flat, both[0].sizes + both[1].sizes)
        else:
            self.histograms.flat += flat

    def added_to(self, stored: Body) -> Body:
        """Return the sum of the reports, and of what is stored, as :func:`merged_bodies` has it.

        Histograms are most of it: they are added as numbers, and written once.
        """
        if not self.reports:
            return stored
        histograms = summed_histograms([stored])
        if histograms is None:
            histograms = self.histograms
        elif self.histograms is not None:
            histograms.add(self.histograms)
        own, observations = self._rest(), self.numbers["observations"]
        rest = merged_bodies([{**stored, "observations": 0}, own]) if stored else own
        written = NO_HISTOGRAMS if histograms is None else encode_histograms(histograms)
        return {
            **rest,
            "features": written,
            "observations": observations + stored.get("observations", 0),
        }

    def _rest(self) -> dict[str, Any]:
        """Everything but the histograms."""
        body: dict[str, Any] = {
            "features": NO_HISTOGRAMS,
            "outputs": NO_HISTOGRAMS,
            "observations": 0,
            "predictions": dict(self.predictions),
            "errors": dict(self.errors),
            "lost": dict(self.lost),
            **self.counts,
            "latency": {source: counts.tolist() for source, counts in self.latency.items()},
            "resources": dict(self.resources),
        }
        return {**body, "energy": dict(self.energy)} if self.energy else body


class WindowAdditions:
    """What the messages of one transaction add to the sums of windows, and to devices' totals.

    Args:
        part: of the writer, whose rows nobody else adds to.
    """

    def __init__(self, part: int) -> None:
        self._part = part
        self._additions: dict[WindowSumKey, _Addition] = defaultdict(_Addition)
        self._devices: dict[WindowSumKey, set[str]] = defaultdict(set)
        self._made: Counter[tuple[str, str]] = Counter()

    def add_report(self, device: str, report: WindowReport, histograms: ReportHistograms) -> None:
        """Add a window report of a device, with its histograms decoded."""
        key = self._key(report.window)
        self._additions[key].add_report(report, histograms)
        self._devices[key].add(device)
        self._made[key.model, device] += sum(report.predictions.values())

    def add_labels(self, report: FeedbackReport) -> None:
        """Add the late labels of a report."""
        numbers = self._additions[self._key(report.window)].numbers
        for name in (*LABELS, *ERRORS):
            numbers[name] += getattr(report, name)

    def write(self, db: Connection) -> None:
        """Add all of it; the reports themselves must not be in the table yet."""
        self._count_devices(db)
        additions = self._additions.items()
        add_sums(db, {key: (added.numbers, added.added_to) for key, added in additions})
        made = [(*key, count) for key, count in sorted(self._made.items())]
        columns = ("model", "device", "predictions")
        insert_adding(db, totals, columns, made, adds=("predictions",))

    def _key(self, window: Window) -> WindowSumKey:
        return WindowSumKey(
            window.model, window.version, window.experiment or "", window.arm, window.start,
            window.end, self._part,
        )  # fmt: skip

    def _count_devices(self, db: Connection) -> None:
        """Count devices that report of a window for the first time."""
        keys = [
            self._of_device(key, device)
            for key, devices in self._devices.items()
            for device in sorted(devices)
        ]
        known = known_keys(db, reports, _REPORTED, keys, nullable=("experiment",))
        for key, devices in self._devices.items():
            new = sum(self._of_device(key, device) not in known for device in devices)
            self._additions[key].numbers["devices"] = new

    @staticmethod
    def _of_device(key: WindowSumKey, device: str) -> tuple[Any, ...]:
        experiment = key.experiment or None
        return key.model, key.version, key.start, device, experiment, key.arm, key.end


def add_sums(
    db: Connection, additions: Mapping[WindowSumKey, tuple[Mapping[str, float], Adding]]
) -> None:
    """Add to rows of ``window_sums``, or make them.

    Args:
        db: an open transaction.
        additions: by row numbers of :data:`NUMBERS`, and what adds to its body.
    """
    keys = sorted(additions)
    wanted = (*WindowSumKey._fields, "body")
    there = {
        WindowSumKey(*row[:-1]): json.loads(row[-1])
        for row in rows_by_key(db, window_sums, WindowSumKey._fields, wanted, keys, lock=True)
    }
    rows = []
    for key in keys:
        numbers, add = additions[key]
        whole = (int(numbers.get(name, 0)) for name in NUMBERS[: -len(ERRORS)])
        errors = (float(numbers.get(name, 0)) for name in ERRORS)
        rows.append((*key, *whole, *errors, json.dumps(add(there.get(key, {})))))
    columns = (*WindowSumKey._fields, *NUMBERS, "body")
    insert_adding(db, window_sums, columns, rows, adds=NUMBERS, replaces=("body",))


def adding(bodies: Sequence[Body]) -> Adding:
    """Return what adds the bodies of reports to one that is stored."""

    def add(stored: Body) -> Body:
        every = [each for each in (stored, *bodies) if each]
        return merged_bodies(every) if len(every) > 1 else every[0] if every else {}

    return add


def roll_up(db: Connection, model: str, *, cutoff: int) -> None:
    """Make windows shorter than an hour into hours, of all writers, without their devices.

    Args:
        db: of the transaction.
        model: name.
        cutoff: a whole hour, Unix seconds; windows that start before become hours.
    """
    s = window_sums.c
    due = (s.model == model) & (s.start < cutoff) & (s.end - s.start < HOUR)
    rows = db.execute(select(window_sums).where(due).with_for_update()).mappings().all()
    additions: dict[WindowSumKey, tuple[Counter[str], list[Body]]] = {}
    for row in rows:
        hour = row["start"] // HOUR * HOUR
        key = WindowSumKey(
            model, row["version"], row["experiment"], row["arm"], hour, hour + HOUR, 0
        )
        numbers, bodies = additions.setdefault(key, (Counter(), []))
        numbers.update({name: row[name] for name in NUMBERS if name != "devices"})
        bodies += [row["body"]] if row["body"] else []
    if rows:
        db.execute(delete(window_sums).where(due))
        sums = {key: (numbers, adding(bodies)) for key, (numbers, bodies) in additions.items()}
        add_sums(db, sums)


def summed_histograms(bodies: Iterable[Body]) -> HistogramCounts | None:
    """Return the sum of the histograms of bodies with observations; ``None`` without any."""
    total: HistogramCounts | None = None
    for body in bodies:
        if not body.get("observations"):
            continue
        if total is None:
            total = histograms_of(body)
        else:
            total.add(histograms_of(body))
    return total
