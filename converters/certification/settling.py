"""Times that decide the choice, measured again until one slow moment cannot have decided it.

Most choices are made by bytes and answers alone. Where a time decides, the median of
:data:`TIMES` measurements does: what is refused for its time though it is smaller than the choice,
the choice itself, if it had to be fast enough, and what is as small as the choice and about as
fast.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple, Protocol

from converters.certification.budget import BudgetLimits, BudgetTerms
from converters.certification.choice import PLAIN, choose, refused, rivals
from edge_sdk.contract.certificate import VariantResult

TIMES: Final = 3
"""Measurements of what a time decides, the first one among them."""

LIMITS_OF_TIME: Final = frozenset({"row", "p99", "load"})


class MeasuredTimes(Protocol):
    """What was measured of one candidate; see :class:`VariantResult` for the units."""

    @property
    def row_us(self) -> float:
        """Median of one row."""

    @property
    def batch_row_us(self) -> float:
        """Median of a row of a batch."""

    @property
    def p99_us(self) -> float:
        """99th percentile of one row."""

    @property
    def load_ms(self) -> float:
        """Loading of the file."""


class _Times(NamedTuple):
    row_us: float
    batch_row_us: float
    p99_us: float
    load_ms: float


Measure = Callable[[Sequence[str]], Mapping[str, MeasuredTimes]]
"""Measures variants by their names, float32 first."""


def settled(
    results: Mapping[str, VariantResult],
    measure: Measure,
    limits: BudgetLimits | None = None,
    terms: BudgetTerms = BudgetTerms(),
) -> dict[str, VariantResult]:
    """Return the results with the times that decide the choice as medians of several measurements.

    Args:
        results: rows of the certificate by name, as first measured.
        measure: measures some variants again.
        limits: the budget; ``None`` for none.
        terms: what the budget's limits of shares are held against.
    """
    names = decided_by_time(results, limits, terms)
    if not names:
        return dict(results)
    first: Mapping[str, MeasuredTimes] = {name: _timing(results[name]) for name in (PLAIN, *names)}
    runs = [first, *(measure((PLAIN, *names)) for _ in range(TIMES - 1))]
    return {**results, **{name: _median(results, name, runs) for name in names}}


def decided_by_time(
    results: Mapping[str, VariantResult], limits: BudgetLimits | None, terms: BudgetTerms
) -> list[str]:
    """Return the variants whose times decide what is chosen; arguments as for :func:`settled`."""
    is_timed = limits is None or bool(LIMITS_OF_TIME & set(limits.limits))
    near = rivals(results, limits, terms)
    plain, choice = results[PLAIN], choose(results, limits, terms)
    chosen = results[choice.name] if choice is not None else None
    names = []
    for name, v in results.items():
        if name == PLAIN and limits is None:
            continue  # the measure of all others
        at_once = replace(v, row_us=0.0, batch_row_us=0.0, load_ms=0.0, p99_us=0.0)
        fits, would_fit = (not refused(one, plain, limits, terms) for one in (v, at_once))
        smaller = chosen is None or v.bytes < chosen.bytes
        refused_for_time = would_fit and not fits and smaller
        if name in near or (is_timed and (v is chosen or refused_for_time)):
            names.append(name)
    return names


def _timing(v: VariantResult) -> MeasuredTimes:
    # A certificate's p99 is only missing where it was made by an older release of the converters.
    return _Times(v.row_us, v.batch_row_us, v.p99_us or v.row_us, v.load_ms)


def _median(
    results: Mapping[str, VariantResult], name: str, runs: Sequence[Mapping[str, MeasuredTimes]]
) -> VariantResult:
    """Return a row with the medians of all runs.

    Times of rows are float32's times the median of the ratios, as both were slow in a slow run.
    """
    plain, pairs = results[PLAIN], [(run[PLAIN], run[name]) for run in runs]
    row = statistics.median(other.row_us / max(base.row_us, 1e-9) for base, other in pairs)
    batch = statistics.median(
        other.batch_row_us / max(base.batch_row_us, 1e-9) for base, other in pairs
    )
    return replace(
        results[name],
        row_us=round(plain.row_us * row, 2),
        batch_row_us=round(plain.batch_row_us * batch, 3),
        p99_us=round(statistics.median(other.p99_us for _, other in pairs), 2),
        load_ms=round(statistics.median(other.load_ms for _, other in pairs), 2),
    )
