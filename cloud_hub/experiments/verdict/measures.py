"""From sums by device to outcomes of every measure. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cloud_hub.experiments.verdict.evidence import Row
from cloud_hub.statistics.ratios import DeviceWindowSums, as_sample
from edge_sdk.contract.messages import WindowReport
from edge_sdk.contract.plan import Measure

ENERGY: Final = (
    "energy_windows", "energy_n", "energy_sum", "energy_n_squares", "energy_cross",
    "energy_squares",
)  # fmt: skip
"""Sums over windows: how many, their predictions and joules, and the second moments of the two."""

SUMS: Final = (
    "predictions", "errors", "units", "labelled", "correct", "rewards", "reward_sum",
    "reward_squares", "latency_n", "latency_sum", "latency_squares", *ENERGY,
)  # fmt: skip
"""Columns that add up."""

Sums = Mapping[str, Any]


def energy_of(report: WindowReport) -> dict[str, float]:
    """:data:`ENERGY` of one report."""
    drawn = report.energy
    if drawn is None:
        return dict.fromkeys(ENERGY, 0)
    n, joules = float(drawn.predictions), drawn.joules
    return dict(zip(ENERGY, (1, n, joules, n * n, n * joules, joules * joules), strict=True))


def outcomes_of(sums: Mapping[str, Sums]) -> dict[Measure, dict[str, Row]]:
    """Outcomes of one arm, by measure and device, of its sums by device; what is missing is 0."""
    found: dict[Measure, dict[str, Row]] = {
        "accuracy": _each(sums, "labelled", "correct", "correct"),
        "reward": _each(sums, "rewards", "reward_sum", "reward_squares"),
        "latency": _each(sums, "latency_n", "latency_sum", "latency_squares"),
        "errors": {d: _errors(row) for d, row in sums.items()},
        "energy": _energy(sums),
    }
    return {
        measure: {d: row for d, row in rows.items() if row[0]} for measure, rows in found.items()
    }


def _each(sums: Mapping[str, Sums], *names: str) -> dict[str, Row]:
    return {d: tuple(row.get(name, 0) for name in names) for d, row in sums.items()}


def _errors(row: Sums) -> Row:
    errors = row.get("errors", 0)
    return (row.get("predictions", 0) + errors, errors, errors)


def _energy(sums: Mapping[str, Sums]) -> dict[str, Row]:
    """Joules for each prediction, as a ratio of totals; a window counts as one outcome."""
    metered = sorted(d for d, row in sums.items() if row.get(ENERGY[0], 0))
    windows = {d: tuple(sums[d].get(name, 0) for name in ENERGY) for d in metered}
    sample = as_sample(DeviceWindowSums.by_device(windows))
    columns = (sample.n, sample.total, sample.squares)
    return dict(zip(metered, zip(*(c.tolist() for c in columns), strict=True), strict=True))
