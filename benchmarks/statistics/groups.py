"""Groups of rows: one that gets worse while the figures of all hardly move."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.statistics.part import Effort, Part, Row, generator, rate
from benchmarks.statistics.reporting import release_and_rows
from cloud_hub.monitoring.groups import compare, group_name, score
from cloud_hub.monitoring.store import Concept
from cloud_hub.policy.schema.monitoring import MonitoringPolicy
from cloud_hub.statistics.detectors.concept import MEAN_RUN, ErrorDetector, base_rate
from cloud_hub.telemetry.groups import GroupWindow
from edge_sdk.device_kinds.offline import OFFLINE
from edge_sdk.serving.predictor import Predictor

SHARES: Final = {"large": 0.6, "middle": 0.35, "small": 0.05}
CHECK: Final = 4_000
"""Check rows of the release, of all groups."""

WINDOW: Final = 200
"""Labels of a window."""

WINDOWS: Final = 100
PEOPLE: Final = 20
"""People who make all rows of a group, where rows are not independent."""

Rates = Mapping[str, float]


@dataclass
class Watch:
    """One release with late labels, as the hub watches it; windows of the first alarms."""

    random: np.random.Generator
    acceptable: float
    first: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        wrong = {g: int(self.random.binomial(round(CHECK * s), 0.1)) for g, s in SHARES.items()}
        self.base = base_rate(sum(wrong.values()), CHECK)
        self.bases = {
            group_name("by", g): base_rate(n, round(CHECK * SHARES[g])) for g, n in wrong.items()
        }
        self.policy = MonitoringPolicy(acceptable_disparity=self.acceptable)
        self.concept = Concept()
        self.all = ErrorDetector()
        self.counts = dict.fromkeys(SHARES, (0, 0))

    def take(self, number: int, rates: Rates) -> None:
        """A window in which the groups err at these rates."""
        windows = []
        for group, share in SHARES.items():
            n = round(WINDOW * share)
            right = n - int(self.random.binomial(n, rates[group]))
            windows.append(GroupWindow("by", group, number, n, n, right))
            rows, correct = self.counts[group]
            self.counts[group] = (rows + n, correct + right)
        errors = sum(w.labelled - w.correct for w in windows)
        self.all.add(number, [(WINDOW, errors, self.base)])
        findings = score(self.concept, windows, self.bases, self.policy, count=len(SHARES))
        findings += compare({"by": self.counts}, self.policy)
        alarms = [finding.signal for finding in findings if finding.alarming]
        alarms += ["concept:errors"] if self.all.evidence >= MEAN_RUN else []
        for signal in alarms:
            self.first.setdefault(signal, number)


def run(effort: Effort) -> list[Row]:
    """Nothing happens; the small group gets worse; what it costs devices."""
    with tempfile.TemporaryDirectory() as folder:
        return [*_null(effort), *_worse(effort), *_cost(Path(folder), effort)]


def _null(effort: Effort) -> list[Row]:
    runs, hits = effort.runs(1_000), {"concept": 0, "fairness": 0, "people": 0}
    for seed in range(runs):
        watch = Watch(generator(31, seed), acceptable=0.0)
        for number in range(WINDOWS):
            watch.take(number, dict.fromkeys(SHARES, 0.1))
        hits["concept"] += any(s.startswith("concept:by=") for s in watch.first)
        hits["fairness"] += "fairness:by" in watch.first
        hits["people"] += _people(seed)
    labels = f"{WINDOW * WINDOWS:,} labels, error rate .10 in every group"
    return [
        Row(f"{labels}: errors of a group alarm", "≤ 1%", rate(hits["concept"], runs),
            hits["concept"] / runs <= 0.01),
        Row(f"{labels}: a difference above 0 alarms, at any of {WINDOWS} looks", "≤ 5%",
            rate(hits["fairness"], runs), hits["fairness"] / runs <= 0.05),
        Row(f"the same, {PEOPLE} people make all rows of a group and differ (correlated 0.05)", "",
            rate(hits["people"], runs)),
    ]  # fmt: skip


def _people(seed: int) -> bool:
    """Return the share of alarms for groups of few people, alike as groups."""
    random = generator(31, seed)
    watch = Watch(random, acceptable=0.0)
    own = {group: float(random.beta(1.9, 17.1, PEOPLE).mean()) for group in SHARES}
    for number in range(WINDOWS):
        watch.take(number, own)
    return "fairness:by" in watch.first


def _worse(effort: Effort) -> list[Row]:
    runs, before = effort.runs(300), WINDOWS // 2
    watches = []
    for seed in range(runs):
        watch = Watch(generator(32, seed), acceptable=0.05)
        for number in range(before + WINDOWS):
            worse = {"small": 0.3} if number >= before else {}
            watch.take(number, dict.fromkeys(SHARES, 0.1) | worse)
        watches.append(watch)
    about = "the small group (5% of rows) errs .10 → .30, all rows .10 → .11"
    return [
        _detection(f"{about}: its own errors alarm", "≥ 95%", "concept:by=small", watches, before),
        _detection("the same: the difference of accuracies surely exceeds .05", "", "fairness:by",
               watches, before),
        _detection("the same: the errors of all rows alarm", "", "concept:errors", watches, before),
    ]  # fmt: skip


def _detection(measured: str, goal: str, signal: str, watches: list[Watch], before: int) -> Row:
    late = [w.first[signal] - before + 1 for w in watches if w.first.get(signal, -1) >= before]
    share = rate(len(late), len(watches))
    if late:
        own = round(np.median(late) * WINDOW * SHARES["small"])
        share += f", median after {own} labels of the group, {np.median(late) * WINDOW:,.0f} of all"
    return Row(measured, goal, share, len(late) / len(watches) >= 0.95 if goal else None)


def _cost(folder: Path, effort: Effort) -> list[Row]:
    """Return the added cost of a declared column of four groups, in turns with a plain release."""
    plain, rows = release_and_rows(folder)
    kinds: dict[str, tuple[Any, Any]] = {
        "a column of the model": ("x0:-1,0,1", None),
        "a column that the application says": ({"who": ["a", "b", "c", "d"] * 500}, {"who": "b"}),
    }
    table = []
    for i, (kind, (declared, group_values)) in enumerate(kinds.items()):
        release, _ = release_and_rows(folder / str(i), declared)
        grouped, base = Predictor(release, OFFLINE, tag="on"), Predictor(plain, OFFLINE, tag="off")
        calls, folded = [], []
        for _ in range(effort.runs(40)):
            calls.append(
                _per_row(grouped, rows, group_values, fold=False)
                - _per_row(base, rows, None, fold=False)
            )
            for serving in (grouped, base):
                serving.monitor.fold()
            folded.append(
                _per_row(grouped, rows, group_values, fold=True)
                - _per_row(base, rows, None, fold=True)
            )
        call, more = statistics.median(calls), statistics.median(folded)
        text = f"{call:+.2f} µs in the call, {more:+.2f} µs a row with its fold, 2,000 at once"
        table.append(Row(f"groups by {kind}, more than without", "", text))
        for serving in (grouped, base):
            serving.close()
    return table


def _per_row(
    serving: Predictor, rows: NDArray[np.float32], group_values: Any, *, fold: bool
) -> float:
    predict = serving.predict
    began = time.thread_time_ns()
    for row in rows:
        predict(row, group_values)
    if fold:
        serving.monitor.fold()
    return (time.thread_time_ns() - began) / len(rows) / 1e3


PART = Part(
    "Groups of rows",
    f"A release with {CHECK:,} check rows, {WINDOW} late labels a window, groups of 60, 35 and 5% "
    "of the rows; what each group's errors are held against is learned from its check rows. "
    f"{WINDOWS} windows after the change, {WINDOWS // 2} before. Costs are processor "
    "time on the release of 50 features that reports are measured on.",
    run,
)
