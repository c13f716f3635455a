"""Planning before the start: how much an experiment needs, and about how long that takes. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from cloud_hub.experiments.verdict.spec import cohort_name
from cloud_hub.statistics.power import (
    LONGEST,
    FleetVariance,
    Method,
    Needs,
    chance_of,
    days_until,
    expected,
    needs,
    pairs_needed,
    smallest_effect,
    variance_of,
)
from cloud_hub.statistics.samples import in_order
from cloud_hub.statistics.shares import least_devices

if TYPE_CHECKING:
    from cloud_hub.experiments.verdict.evidence import Row
    from cloud_hub.experiments.verdict.spec import ExperimentSpec
    from edge_sdk.contract.plan import Measure, Outcome

DAY: Final = 86_400.0
WEEK: Final = 7.0
"""Days for which a plan says what a step can find."""

METHODS: Final[tuple[Method, ...]] = ("sequential", "group-sequential")


@dataclass(frozen=True)
class Rates:
    """Recent outcomes of the fleet: by measure, rows by device, over ``seconds``.

    ``earlier`` are those of the first half of it. ``devices`` is how many the experiment could
    reach, ``stages`` how many each of its stages; ``decided`` the share of the rankings with clicks
    that decided a session, when some were interleaved before.
    """

    outcomes: Mapping[Measure, Mapping[str, Row]]
    seconds: float
    devices: int
    decided: float | None = None
    earlier: Mapping[Measure, Mapping[str, Row]] = field(default_factory=dict)
    stages: tuple[int, ...] = ()


@dataclass(frozen=True)
class StepPlan:
    """What one step of an experiment can find, from devices that report the outcome.

    ``smallest`` is the smallest difference that is told from none in a week, ``ever`` however long
    it goes on; ``None`` where these devices tell nothing. ``days`` is how long the declared minimum
    effect takes to be found with the wanted chance, ``None`` where it never comes to that;
    ``chance`` is what it comes to in a year.
    """

    step: str
    control: int
    candidate: int
    smallest: float | None
    ever: float | None
    days: float | None
    chance: float


@dataclass(frozen=True)
class OutcomePlan:
    """Needs of one outcome; ``days`` is about how long, ``None`` where it never comes to that.

    ``spread`` is the variance of one outcome, ``correlation`` that of two of one device, of which
    ``left`` remains when each device is compared with its own past. ``steps`` says what each step
    can find. ``note`` says what is missing to say more.
    """

    outcome: str
    metric: str
    mean: float | None
    spread: float | None
    correlation: float
    a_device_a_day: float
    needs: tuple[Needs, ...]
    days: tuple[float | None, ...]
    note: str = ""
    left: float | None = None
    steps: tuple[StepPlan, ...] = ()


def plan(spec: ExperimentSpec, rates: Rates, *, power: float = 0.8) -> list[OutcomePlan]:
    """Plan each outcome with both methods: looked at all the time, and with a declared end.

    Interleaving has one: sessions won, by its own test.

    Args:
        spec: the declared experiment.
        rates: of the fleet, lately.
        power: chance of finding a difference of the declared minimum effect.
    """
    if spec.strategy == "interleave":
        return [_plan_sessions(spec, rates, power)]
    return [_plan(spec, outcome, rates, power) for outcome in spec.outcomes]


def correlation_of(rows: Mapping[str, Row]) -> float:
    """Intraclass correlation of the outcomes of one device, by analysis of variance; 0 to 1.

    ``(between - within) / (between + (m - 1) within)``, of the mean squares between and within
    devices and a typical number ``m`` of outcomes a device.

    Args:
        rows: (how many, sum, sum of squares) by device.

    Source: R. Fisher, Statistical Methods for Research Workers, 1925, chapter 7; unequal groups as
    in W. Donner, "A Review of Inference Procedures for the Intraclass Correlation", 1986.
    """
    table = np.array([row for row in rows.values() if row[0] > 0], dtype=np.float64).reshape(-1, 3)
    n, total, squares = table.T
    devices, count = len(n), n.sum()
    if devices < 2 or count <= devices:
        return 0.0
    mean = total.sum() / count
    # Mean squares between and within devices, as in a one-way analysis of variance.
    between = float((n * (total / n - mean) ** 2).sum() / (devices - 1))
    within = float((squares - total**2 / n).sum() / (count - devices))
    typical = float((count - (n**2).sum() / count) / (devices - 1))
    below = between + (typical - 1) * within
    return min(1.0, max(0.0, (between - within) / below)) if below > 0 else 0.0


def _plan(spec: ExperimentSpec, outcome: Outcome, rates: Rates, power: float) -> OutcomePlan:
    rows = rates.outcomes.get(outcome.metric, {})
    n, total, squares = (sum(row[i] for row in rows.values()) for i in range(3))
    if n < 2 or rates.seconds <= 0:
        note = f"no device reported {outcome.metric} lately: nothing to plan from"
        return OutcomePlan(outcome.name, outcome.metric, None, None, 0.0, 0.0, (), (), note)
    mean = total / n
    # Rounding can take it below 0.
    variance = max(0.0, squares / n - mean**2)
    daily = n / len(rows) / rates.seconds * DAY
    correlation = correlation_of(rows)
    common = (outcome.name, outcome.metric, mean, variance, correlation, daily)
    if outcome.minimum_effect == 0 or variance == 0:
        note = "declare a minimum_effect" if variance else "all outcomes were alike lately"
        return OutcomePlan(*common, (), (), f"{note}: nothing to plan for")
    fleet = _variance(rows, rates.earlier.get(outcome.metric, {}), rates.seconds / DAY)
    apart = spec.strategy in ("canary", "ab") and spec.unit == "device"
    # Pairs, and keys of one device, do not differ by what their devices do.
    left = min(correlation, float(fleet.device.mean()) / variance) if apart else correlation
    per_device, tuned_for = max(1.0, daily), spec.design.tightest(outcome.metric)
    by_method = tuple(
        needs(
            # Two arms of equal size, each with this variance.
            outcome.minimum_effect, 2 * variance, method=method, alpha=spec.design.alpha,
            power=power, tuned_for=tuned_for if method == "sequential" else None,
            correlation=left, per_device=per_device,
        )
        for method in METHODS
    )  # fmt: skip
    devices = len(rows) * smallest_share(spec)  # others would not report it either
    days = tuple(_days(need, devices, daily, left) for need in by_method)
    planned = OutcomePlan(*common, by_method, days, left=left if apart else None)
    if not apart:
        return planned
    share = len(rows) / max(rates.devices, 1)
    steps = tuple(_step(spec, outcome, fleet, sizes, power) for sizes in _sizes(spec, rates, share))
    # Steps count the devices that there are; of many at once the first is what takes longest.
    return replace(planned, steps=steps, days=(steps[0].days, *days[1:]) if steps else days)


def _variance(rows: Mapping[str, Row], earlier: Mapping[str, Row], days: float) -> FleetVariance:
    devices = sorted(rows)
    first = in_order(earlier, devices)
    later = [
        (n - x[0], total - x[1], squares - x[2])
        for (n, total, squares), x in ((rows[d], earlier.get(d, (0.0, 0.0, 0.0))) for d in devices)
    ]
    return variance_of(first, in_order(dict(zip(devices, later, strict=True)), devices), days)


def _sizes(spec: ExperimentSpec, rates: Rates, share: float) -> list[tuple[str, int, int]]:
    """Each step's name, and its devices that report the outcome: of the control, of the arm."""
    if spec.strategy == "ab":
        here = rates.devices * share
        control = round(here * (1 - sum(arm.weight for arm in spec.arms)))
        return [(arm.name, control, round(here * arm.weight)) for arm in spec.arms]
    sizes = []
    for stage, devices in zip(spec.path, rates.stages or (rates.devices,), strict=False):
        here = round(devices * share)
        for step in stage.steps:
            if step < 1:
                tried = round(here * step)
                sizes.append(
                    (f"{100 * step:.3g}% of {cohort_name(stage.cohort)}", here - tried, tried)
                )
    return sizes


def _step(
    spec: ExperimentSpec, outcome: Outcome, fleet: FleetVariance, sizes: tuple[str, int, int],
    power: float,
) -> StepPlan:  # fmt: skip
    name, control, candidate = sizes
    alpha, usual = spec.design.alpha, spec.design.tightest(outcome.metric)
    if candidate < spec.minimum_devices:
        return StepPlan(name, control, candidate, None, None, None, 0.0)

    def smallest(after: float) -> float | None:
        found = smallest_effect(
            expected(fleet, control, candidate, after), alpha=alpha, power=power, usual=usual
        )
        return found if math.isfinite(found) else None

    days = days_until(
        outcome.minimum_effect, fleet, control, candidate, alpha=alpha, power=power, usual=usual
    )
    year = expected(fleet, control, candidate, LONGEST)
    chance = chance_of(outcome.minimum_effect, year, alpha=alpha, usual=usual)
    ever = smallest(1e6 * LONGEST)
    return StepPlan(name, control, candidate, smallest(WEEK), ever, days, chance)


def _plan_sessions(spec: ExperimentSpec, rates: Rates, power: float) -> OutcomePlan:
    """Decided sessions of all devices together, from the rankings that were clicked on lately."""
    rows = rates.outcomes.get("reward", {})
    clicked = sum(row[1] for row in rows.values())
    daily = clicked * spec.share / len(rows) / rates.seconds * DAY if clicked > 0 else 0.0
    decided = daily * (1.0 if rates.decided is None else rates.decided)
    common = ("sessions", "wins", None, 0.25, 0.0, decided)
    if spec.minimum_effect == 0:
        note = "declare a minimum_effect: by how much more than half of the sessions it should win"
        return OutcomePlan(*common, (), (), f"{note}; nothing to plan for")
    n = pairs_needed(spec.minimum_effect, alpha=spec.design.alpha, power=power)
    reached = rates.devices * spec.device_share
    need = Needs("sequential", n, n, math.ceil(n / max(decided, 1.0)), power, 1.0)
    days = n / (reached * decided) if reached * decided > 0 else None
    least = math.ceil(least_devices(spec.design.alpha))
    if rates.devices < least:
        days = None
        note = f"each device is one observation, and {least} are the fewest that can show anything"
    elif not decided:
        note = "nobody clicked on a ranking lately (feedback with clicks): how long is not known"
    elif rates.decided is None:
        note = "at best: ties decide nothing, and how many sessions end so is not known yet"
    else:
        note = ""
    return OutcomePlan(*common, (need,), (days,), note)


def _days(need: Needs, devices: float, daily: float, correlation: float) -> float | None:
    """Days until the smallest arm is worth ``need.independent`` outcomes; ``None`` if it never is.

    Devices that are alike in themselves and too few never come to that.
    """
    if devices <= 0 or daily <= 0:
        return None
    # However many requests come, m devices are worth at most m / r independent ones.
    most = devices / correlation if correlation > 0 else math.inf
    if need.independent >= most:
        return None
    # n requests of m devices are worth n / (1 + (n/m - 1) r).
    r = correlation
    requests = need.independent * (1 - r) / (1 - need.independent * r / devices)
    return requests / (devices * daily)


def smallest_share(spec: ExperimentSpec) -> float:
    """Share of the smallest arm, the control included."""
    if spec.strategy == "ab":
        weights = [arm.weight for arm in spec.arms]
        return min(*weights, 1 - sum(weights))
    if spec.strategy == "canary":
        first = spec.path[0].steps[0]
        return min(first, 1 - first)
    return spec.device_share
