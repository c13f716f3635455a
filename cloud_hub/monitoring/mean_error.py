"""Errors of numbers on late labels of one version, scored window by window. Pure.

The same e-detector that watches wrong labels, fed with errors as shares of the largest that counts.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cloud_hub.deferred.libraries import ndtri
from cloud_hub.monitoring.figures import MeanErrorFigures
from cloud_hub.monitoring.findings import Finding
from cloud_hub.monitoring.store import MeanError
from cloud_hub.statistics.detectors.concept import SURE
from cloud_hub.statistics.influence import device_factors

if TYPE_CHECKING:
    from cloud_hub.telemetry.fleet_windows import DeviceErrors

SIGNAL = "concept:mae"
LEARNED = 500
"""Labels from which the base is learned: releases promise R², not an error."""


def score(
    state: MeanError, rows: Sequence[DeviceErrors], largest: float, mean_run: float
) -> tuple[MeanError, Finding]:
    """Take the errors of settled windows; return the new state and the finding.

    Args:
        state: of the version; that of another bound is of no use, and begins anew.
        rows: errors by device and window, some.
        largest: as much as an error counts at most.
        mean_run: labels to a false alarm on average.
    """
    if state.largest != largest:
        state = MeanError(largest)
    detector, alarmed = state.detector, None
    ordered = sorted(rows, key=lambda row: row.start)
    for start, group in itertools.groupby(ordered, key=lambda row: row.start):
        count, total, squares = _sums(list(group), largest)
        state.count, state.shares = state.count + count, state.shares + total
        state.squares += squares
        if state.base is not None:
            detector.add(start, [(count, total, state.base)])
            if alarmed is None and detector.evidence >= mean_run:
                alarmed = start
    base = state.base
    if base is None and state.count >= LEARNED:
        state.base = _base(state)
    measured = sum(row.measured for row in rows)
    mae = sum(row.total for row in rows) / measured
    figures = MeanErrorFigures(
        measured=measured,
        mae=float(f"{mae:.4g}"),
        base_mae=None if base is None else float(f"{base * largest:.4g}"),
        largest_error=largest,
        evidence=float(f"{detector.evidence:.4g}"),
        alarm_from=mean_run,
        alarmed_at=alarmed,
        risen_since=detector.since if detector.evidence > 1 else None,
    )
    rise = mae - base * largest if base is not None else 0.0
    return state, Finding(SIGNAL, "concept", alarmed is not None, rise, figures)


def restarted(state: MeanError, *, rebase: bool) -> MeanError:
    """Return the state without the evidence; with ``rebase`` the errors so far become its base."""
    return MeanError(state.largest, _base(state) if rebase and state.count else state.base)


def _sums(devices: Sequence[DeviceErrors], largest: float) -> tuple[float, float, float]:
    """How many, shares of the largest and their squares; no device above what it may weigh."""
    factors = device_factors({row.device: row.measured for row in devices})
    count = total = squares = 0.0
    for row in devices:
        factor = factors[row.device]
        count += factor * row.measured
        # Cut again: labels of before the bound was lowered were cut at the old one.
        total += factor * min(row.total / largest, row.measured)
        squares += factor * min(row.squares / largest**2, row.measured)
    return count, total, squares


def _base(state: MeanError) -> float:
    """Upper bound, at level :data:`SURE`, of the mean share that was seen, as of a normal mean."""
    mean = state.shares / state.count
    variance = max(0.0, state.squares / state.count - mean**2)
    bound = mean + float(ndtri(SURE)) * math.sqrt(variance / state.count)
    return min(0.9, max(bound, 1e-4))
