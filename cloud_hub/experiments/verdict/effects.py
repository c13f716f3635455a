"""Effects of candidates by declared attribute: better in one region and not in another. Pure.

These are for people: no verdict and no guardrail reads them.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cloud_hub.experiments.verdict.figures import finite
from cloud_hub.experiments.verdict.judgement import RANGES
from cloud_hub.experiments.verdict.measures import ExposureSums, outcomes_of
from cloud_hub.statistics import cohort_effects as statistics
from cloud_hub.statistics.influence import device_factors
from cloud_hub.statistics.samples import Contrast, Floats, Sample
from cloud_hub.statistics.sequential import interval
from cloud_hub.statistics.stratified import mean_of_pairs, stratified_difference
from edge_sdk.contract.names import CONTROL
from edge_sdk.contract.plan import Outcome

if TYPE_CHECKING:
    from cloud_hub.experiments.verdict.evidence import InterleaveEvidence, Row, ShadowEvidence
    from cloud_hub.experiments.verdict.spec import ExperimentSpec

MOST_VALUES: Final = 12
"""Values that an attribute may have to make cohorts; beyond, it names devices, not groups."""

NO_EFFECT: Final = "no effect shown"

NOTHING: Final = Contrast(*(np.array(number) for number in (0.0, np.inf, 0.0, np.inf)))
"""A contrast that nothing is known of."""

ByPeriod = Mapping[int, Mapping[str, "Row"]]
"""Outcomes of one arm, by period and device."""

ArmPeriods = Mapping[str, Mapping[int, Mapping[str, ExposureSums]]]
"""Sums by arm, period and device."""


@dataclass(frozen=True)
class CohortEffect:
    """Gain of an arm in one cohort; positive is better, whatever the outcome's direction.

    ``devices`` and ``outcomes`` are those of control and candidate; of pairs both are the same.
    ``low`` to ``high`` holds at every look for those that are told (false coverage rate).
    ``shrunk`` is the gain drawn towards the attribute's other values. ``verdict`` is ``better``,
    ``worse``, ``no effect shown``, or ``no verdict:`` and why. ``differs``: surely not the effect
    that the attribute's other values have.
    """

    attribute: str
    value: str
    outcome: str
    arm: str
    devices: tuple[int, int]
    outcomes: tuple[int, int]
    gain: float | None
    low: float | None
    high: float | None
    shrunk: float | None
    e_value: float
    verdict: str
    differs: bool = False


@dataclass(frozen=True)
class Compared:
    """One outcome of one arm beside the control's; of pairs ``control`` is ``None``."""

    outcome: str
    arm: str
    sign: float
    scale: float
    candidate: ByPeriod
    control: ByPeriod | None = None


def compared_arms(spec: ExperimentSpec, arms: ArmPeriods) -> list[Compared]:
    """Return every declared outcome of every candidate's arm.

    Args:
        spec: the declared experiment.
        arms: sums since the start.
    """
    outcomes = {name: _outcomes(periods) for name, periods in arms.items()}
    return [
        Compared(
            outcome.name, arm.name, _sign(outcome), RANGES[outcome.metric],
            outcomes.get(arm.name, {}).get(outcome.metric, {}),
            outcomes.get(CONTROL, {}).get(outcome.metric, {}),
        )
        for outcome in spec.outcomes
        for arm in spec.tried
    ]  # fmt: skip


def compared_pairs(
    spec: ExperimentSpec, shadow: ShadowEvidence, sessions: InterleaveEvidence
) -> list[Compared]:
    """Return the outcomes of what ran beside what served; of other strategies none.

    Args:
        spec: the declared experiment.
        shadow: pairs of answers since the start.
        sessions: interleaved ones since the start.
    """
    [arm] = spec.tried[:1]
    if spec.strategy == "interleave":
        half = {d: (n, won - n / 2, n / 4) for d, (n, won, _) in sessions.decided.items()}
        return [Compared("sessions won", arm.name, 1.0, 1.0, {0: half})]
    pairs = {"accuracy": shadow.labelled, "latency": shadow.latency}
    return [
        Compared(o.name, arm.name, _sign(o), RANGES[o.metric], {0: pairs[o.metric]})
        for o in spec.outcomes
        if spec.strategy == "shadow" and o.metric in pairs
    ]


def effects_by_cohort(
    compared: Sequence[Compared],
    attributes: Mapping[str, Mapping[str, str]],
    minimum_devices: int,
) -> tuple[CohortEffect, ...]:
    """Estimate every effect in every cohort, and say which are real.

    The false discovery rate is over all of them together; shrunk are the values of one attribute.

    Args:
        compared: outcomes of arms.
        attributes: of every device, by name, as they were when the experiment began.
        minimum_devices: of an arm in a cohort, below which there is no verdict.
    """
    families = [
        [_cell(attribute, value, each, devices, minimum_devices) for value, devices in values]
        for attribute, values in _cohorts(attributes)
        for each in compared
    ]
    cells = [cell for family in families for cell in family]
    if not cells:
        return ()
    every = statistics.joined([cell.contrast for cell in cells])
    by_family = [statistics.joined([cell.contrast for cell in family]) for family in families]
    rests = [statistics.against_the_rest(family) for family in by_family]
    fields = ("estimate", "variance", "n", "freedom")
    rest = Contrast(*(np.concatenate([getattr(r, name) for r in rests]) for name in fields))
    shrunk = [statistics.shrink(family.estimate, family.variance).effects for family in by_family]
    real, log_e = statistics.told_apart(every)
    differ, _ = statistics.told_apart(rest)
    # What is picked out of many needs wider intervals: Benjamini and Yekutieli, JASA 100, 2005.
    alpha = statistics.RATE * max(1, len(real)) / len(cells)
    low, high = interval(every, alpha, statistics.TUNED_FOR)
    ends = zip(cells, low, high, np.concatenate(shrunk), log_e, strict=True)
    return tuple(
        _effect(cell, (float(a), float(b)), float(drawn), float(e), (i in real, i in differ))
        for i, (cell, a, b, drawn, e) in enumerate(ends)
    )


@dataclass(frozen=True)
class _Cell:
    """One outcome of one arm in one cohort; ``reason`` is why there is no verdict, if there is."""

    attribute: str
    value: str
    compared: Compared
    devices: tuple[int, int]
    outcomes: tuple[int, int]
    contrast: Contrast
    reason: str


def _cohorts(
    attributes: Mapping[str, Mapping[str, str]],
) -> list[tuple[str, list[tuple[str, list[str]]]]]:
    """Devices by value, of every attribute that divides the fleet into some cohorts."""
    devices: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for device in sorted(attributes):
        for attribute, value in attributes[device].items():
            devices[attribute][value].append(device)
    return [
        (attribute, sorted(values.items()))
        for attribute, values in sorted(devices.items())
        if 2 <= len(values) <= MOST_VALUES
    ]


def _cell(
    attribute: str, value: str, compared: Compared, devices: Sequence[str], minimum_devices: int
) -> _Cell:
    pairs = compared.control is None
    control = compared.candidate if compared.control is None else compared.control
    periods = sorted({*control, *compared.candidate})
    arms = [_table(arm, periods, devices) for arm in (control, compared.candidate)]
    there = [int(np.sum(table[..., 0].sum(axis=0) > 0)) for table in arms]
    reason = _too_little(arms, there, minimum_devices)
    contrast = NOTHING if reason else _contrast(arms, compared.scale, pairs=pairs)
    if not reason and not np.isfinite(contrast.variance):
        reason = "no verdict: a device has nearly all of an arm, or outcomes do not vary"
    n = [float(table[..., 0].sum()) for table in arms]
    outcomes = (round(n[0]), round(n[1])) if np.isfinite(n).all() else (0, 0)
    return _Cell(attribute, value, compared, (there[0], there[1]), outcomes, contrast, reason)


def _contrast(arms: Sequence[Floats], scale: float, *, pairs: bool) -> Contrast:
    samples = [Sample(*np.moveaxis(table, -1, 0)) for table in _bounded(arms, pairs=pairs)]
    if pairs:
        return mean_of_pairs(samples[1], scale=scale)
    return stratified_difference(*samples, scale=scale)


def _table(arm: ByPeriod, periods: Sequence[int], devices: Sequence[str]) -> Floats:
    """Outcomes as an array [periods, devices, 3]."""
    nothing = (0.0, 0.0, 0.0)
    rows = [[arm.get(t, {}).get(device, nothing) for device in devices] for t in periods]
    return np.array(rows, dtype=np.float64).reshape(len(periods), len(devices), 3)


def _bounded(arms: Sequence[Floats], *, pairs: bool) -> list[Floats]:
    """The arms with no device above its bound, as in verdicts."""
    tables = arms[:1] if pairs else arms
    totals = sum(table[..., 0].sum(axis=0) for table in tables)
    by_place = device_factors({str(i): float(n) for i, n in enumerate(np.atleast_1d(totals))})
    factors = np.array(list(by_place.values()))[:, None]
    return [table * factors for table in arms]


def _too_little(arms: Sequence[Floats], devices: Sequence[int], minimum_devices: int) -> str:
    if not all(np.isfinite(table).all() for table in arms):
        return "no verdict: sums that no numbers have"
    if min(devices) < minimum_devices:
        return f"no verdict: fewer than {minimum_devices} devices of an arm"
    return ""


def _effect(
    cell: _Cell,
    ends: tuple[float, float],
    shrunk: float,
    log_e: float,
    found: tuple[bool, bool],
) -> CohortEffect:
    real, differs = found
    sign, known = cell.compared.sign, not cell.reason
    gain = sign * float(cell.contrast.estimate)
    low, high = sorted(sign * end for end in ends)
    verdict = ("better" if gain > 0 else "worse") if real else cell.reason or NO_EFFECT
    return CohortEffect(
        cell.attribute,
        cell.value,
        cell.compared.outcome,
        cell.compared.arm,
        cell.devices,
        cell.outcomes,
        gain if known else None,
        finite(low),
        finite(high),
        sign * shrunk if known else None,
        # Evidence beyond this is beyond doubt, and JSON has no infinity.
        math.exp(min(log_e, 500.0)),
        verdict,
        differs,
    )


def _outcomes(periods: Mapping[int, Mapping[str, ExposureSums]]) -> dict[str, dict[int, Any]]:
    by_measure: dict[str, dict[int, Any]] = defaultdict(dict)
    for start, sums in periods.items():
        for measure, rows in outcomes_of(sums).items():
            by_measure[measure][start] = rows
    return by_measure


def _sign(outcome: Outcome) -> float:
    return 1.0 if outcome.upward else -1.0
