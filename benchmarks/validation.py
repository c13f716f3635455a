"""Validation of a dataset before a training: time, planted faults, and false alarms.

A million rows of 50 columns (numbers, integers, categories, booleans) with labels, times and
devices, against a version before, a holdout and a fleet. Statistics and hashes of the rows are part
of the time; those of the version before were made when it was added. The peer is what a notebook
does first: pandas' ``describe`` of all columns and ``duplicated`` of all rows, on the same rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from cloud_hub.data.validation.validate import CHECKS, validate
from edge_sdk.bench.goals import Goal
from edge_sdk.bench.harness import FULL, Effort
from edge_sdk.bench.result import Findings, GoalRow, Timing
from tests.hub.data.faults import COLUMNS, FAULTS, subject

ROWS: Final = 1_000_000
SECONDS: Final = Goal(15, "validation of the rows, all checks", 15.0, "s")
FOUND: Final = Goal(15, "planted faults that their checks find", len(FAULTS), "", True)
FALSE: Final = Goal(15, "findings in rows without a fault", 0, "")
Tell = Callable[[str], None]


def measure(effort: Effort, tell: Tell) -> Findings:
    """Validate clean rows and each planted fault."""
    rows = ROWS if effort is FULL else 20_000
    tell(f"{rows:,} rows of {COLUMNS} columns")
    good = subject(rows)
    begin = time.perf_counter()
    report = validate(good)
    seconds = time.perf_counter() - begin
    tell(f"{len(CHECKS)} checks in {seconds:.1f} s")
    frame = good.data.features.to_pandas()
    begin = time.perf_counter()
    frame.describe(include="all")
    frame.duplicated()
    peer = time.perf_counter() - begin
    found = 0
    for name, plant in FAULTS.items():
        findings = validate(plant(good)).findings
        found += any(finding.check == name for finding in findings)
        tell(f"{name}: {[finding.text for finding in findings][:2]}")
    where = f"{rows:,} × {COLUMNS}"
    claims = (
        GoalRow.of(SECONDS, seconds, where),
        GoalRow(15, f"the same, against describe and duplicated of pandas, {where}",
                round(seconds / peer, 3), "x"),
        GoalRow.of(FOUND, found, where),
        GoalRow.of(FALSE, len(report.findings), where),
    )  # fmt: skip
    timings = (_timing("all checks", seconds), _timing("pandas: describe, duplicated", peer))
    return Findings(timings, claims)


def _timing(name: str, seconds: float) -> Timing:
    micros = seconds * 1e6
    return Timing("a dataset", name, micros, micros, micros, 1)
