"""Judgement of one outcome of one arm: its gain over the control, and how sure that is. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np

from cloud_hub.deferred.libraries import ndtri, stdtrit
from cloud_hub.experiments.verdict.evidence import of_all_devices
from cloud_hub.experiments.verdict.figures import Look, OutcomeFigures, finite
from cloud_hub.statistics import classical, group_sequential, sequential
from cloud_hub.statistics.clustered import compare, mean_against
from cloud_hub.statistics.keys import compare_buckets, filled
from cloud_hub.statistics.samples import Contrast, devices_in, in_order, pair_up, sums_of
from cloud_hub.statistics.sequential import SampleMoments

if TYPE_CHECKING:
    from cloud_hub.experiments.verdict.evidence import ArmEvidence, Row
    from cloud_hub.experiments.verdict.spec import Design
    from edge_sdk.contract.plan import Measure, Outcome

FEW_DEVICES: Final = 10
"""With fewer devices on an arm, how much devices differ is hardly known; figures say so."""

RANGES: Final[Mapping[Measure, float]] = {
    "accuracy": 1.0, "served_accuracy": 1.0, "errors": 1.0, "reward": 0.0, "latency": 0.0,
    "energy": 0.0, "mae": 0.0, "rmse": 0.0,
}  # fmt: skip
"""Of one outcome of each measure; 0 where it has none."""


@dataclass(frozen=True)
class Judgement:
    """The gain of an arm in one outcome: positive is better, whatever the outcome's direction.

    ``low`` to ``high`` holds at every look; ``p`` is valid at every look. ``n`` is the independent
    outcomes an arm that the data are worth, ``attainable`` what they can be worth on these devices,
    ``tuned_for`` where the interval is tightest. ``done`` says that the horizon was reached,
    ``lacking`` why nothing can be said at all. ``buckets`` are those of keys with outcomes on
    either arm, of a test by key.
    """

    outcome: str
    arm: str
    control: float | None
    candidate: float | None
    gain: float
    low: float
    high: float
    p: float
    n: float
    devices: tuple[int, int]
    outcomes: tuple[int, int]
    minimum_effect: float
    done: bool = False
    looks: tuple[Look, ...] = ()
    tests: tuple[classical.Classical, ...] = ()
    attainable: float = math.inf
    tuned_for: float = sequential.TUNED_FOR
    lacking: str = ""
    buckets: tuple[int, int] = (0, 0)

    @property
    def worse(self) -> bool:
        """Surely, and by more than matters."""
        return self.high < -self.minimum_effect

    @property
    def not_worse(self) -> bool:
        """Surely not by more than matters."""
        return self.low >= -self.minimum_effect

    @property
    def settled(self) -> bool:
        """Surely no gain that matters."""
        return self.high <= self.minimum_effect

    def figures(self) -> OutcomeFigures:
        """The judgement as reports show it: finite, without the looks."""
        return OutcomeFigures(
            self.outcome, self.arm, self.control, self.candidate, self.gain,
            finite(self.low), finite(self.high), self.p, self.n, self.devices, self.outcomes,
            self.minimum_effect, self.done, self.tests,
            few_devices=min(self.devices) < FEW_DEVICES and not any(self.buckets),
            settled=self.settled, buckets=self.buckets,
        )  # fmt: skip


def judge_arm(
    outcome: Outcome,
    arm: str,
    control: ArmEvidence,
    candidate: ArmEvidence,
    design: Design,
    looks: tuple[Look, ...] = (),
    past: Mapping[str, Row] = MappingProxyType({}),
) -> Judgement:
    """Compare an arm with the control on one outcome.

    Args:
        outcome: declared, with its direction and minimum effect.
        arm: name of the arm.
        control: evidence of what serves.
        candidate: evidence of the arm.
        design: how a verdict is reached.
        looks: planned looks taken before; empty without a horizon.
        past: outcomes of the same measure by device, from before the experiment.
    """
    a = control.outcomes.get(outcome.metric, {})
    b = candidate.outcomes.get(outcome.metric, {})
    measure = outcome.metric
    keys = tuple(of_all_devices(e.key_outcomes.get(measure, {})) for e in (control, candidate))
    by_key = any(len(table) for table in keys)
    if by_key:
        contrast = compare_buckets(*keys, scale=RANGES[measure])
    else:
        arms = pair_up(a, b, past)
        contrast = compare(arms[0], arms[1], scale=RANGES[measure], past=arms[2] if past else None)
    judged = judge(outcome, arm, contrast, design, looks)
    plain = (_moments(a), _moments(b))
    test = classical.welch
    if RANGES[outcome.metric]:  # a share
        test = classical.two_proportion_z
    return replace(
        judged,
        control=_mean(plain[0]),
        candidate=_mean(plain[1]),
        devices=(devices_in(a), devices_in(b)),
        outcomes=(plain[0].n, plain[1].n),
        tests=(test(*plain, at_the_end=judged.done),),
        lacking="" if contrast.n > 0 else _lacking(a, b, by_key=by_key),
        buckets=(int(filled(keys[0])), int(filled(keys[1]))),
    )


def judge_pairs(
    outcome: Outcome,
    arm: str,
    differences: Mapping[str, Row],
    design: Design,
    looks: tuple[Look, ...] = (),
    *,
    scale: float = 1.0,
) -> Judgement:
    """Judge the mean of paired differences, candidate minus incumbent.

    Args:
        outcome: declared, with its direction and minimum effect.
        arm: name of the arm.
        differences: (how many, sum, sum of squares) by device.
        design: how a verdict is reached.
        looks: planned looks taken before; empty without a horizon.
        scale: range of one difference; 0 where it has none.
    """
    sample = in_order(differences, sorted(differences))
    contrast = mean_against(sample, 0.0, scale=scale)
    judged = judge(outcome, arm, contrast, design, looks)
    count = _moments(differences).n
    return replace(
        judged,
        devices=(devices_in(differences),) * 2,
        outcomes=(count, count),
        lacking="" if contrast.n > 0 else _lacking(differences),
    )


def judge(
    outcome: Outcome,
    arm: str,
    contrast: Contrast,
    design: Design,
    looks: tuple[Look, ...] = (),
) -> Judgement:
    """Judge a contrast under the design: at any time, or at the next planned look.

    Args:
        outcome: declared, with its direction and minimum effect.
        arm: name of the arm.
        contrast: candidate minus control.
        design: how a verdict is reached.
        looks: planned looks taken before; empty without a horizon.
    """
    tuned_for = float(sequential.tuning(contrast, design.tightest(outcome.metric)))
    # From here on positive is better, whatever the outcome counts.
    sign = 1.0 if outcome.upward else -1.0
    if design.horizon is None:
        p = float(sequential.always_valid_p(sequential.log_e_value(contrast, tuned_for)))
        ends = sequential.interval(contrast, design.alpha, tuned_for)
        low, high = sorted(sign * float(end) for end in ends)
        estimate, done = float(contrast.estimate), False
    else:
        looks = _look(contrast, design, looks, design.horizon)
        estimate, low, high, p = _at_looks(looks, design, sign)
        done = bool(looks) and looks[-1].fraction >= 1
    # A difference of shares cannot be beyond 1: early intervals are cut, not misread.
    reach = RANGES[outcome.metric] or math.inf
    low, high = max(low, -reach), min(high, reach)
    return Judgement(
        outcome.name, arm, None, None, sign * estimate, low, high, p, float(contrast.n),
        (0, 0), (0, 0), outcome.minimum_effect, done, looks,
        attainable=float(contrast.attainable), tuned_for=tuned_for,
    )  # fmt: skip


def _look(
    contrast: Contrast, design: Design, looks: tuple[Look, ...], horizon: int
) -> tuple[Look, ...]:
    """One look more, if the next planned one is due."""
    fraction = min(1.0, float(contrast.n) / horizon)
    # The small number undoes rounding of fractions such as 0.3 * 10.
    planned = math.floor(fraction * design.looks + 1e-9)
    taken = math.floor(looks[-1].fraction * design.looks + 1e-9) if looks else 0
    if planned <= taken:
        return looks
    variance = _student(contrast, design.alpha)
    return (*looks, Look(fraction, float(contrast.estimate), variance, float(contrast.n)))


def _student(contrast: Contrast, alpha: float) -> float:
    """The variance, larger where few devices say how large it is: by Student's quantile."""
    freedom = float(contrast.freedom)
    if not math.isfinite(freedom):
        return float(contrast.variance)
    wider = stdtrit(freedom, 1 - alpha / 2) / ndtri(1 - alpha / 2)
    return float(contrast.variance * wider**2)


def _lacking(*arms: Mapping[str, Row], by_key: bool = False) -> str:
    """Why there is no verdict though there may be outcomes; empty where there are none yet."""
    devices = [devices_in(rows) for rows in arms]
    if not all(devices):
        return ""
    if not all(math.isfinite(value) for rows in arms for row in rows.values() for value in row):
        return "no verdict: some outcomes are no numbers"
    if sum(devices) <= len(devices) and not by_key:
        shown = " and ".join(map(str, devices))
        return f"no verdict: on {shown} device(s) nothing says how much devices differ"
    return "no verdict: all outcomes are alike"


def _at_looks(
    looks: tuple[Look, ...], design: Design, sign: float
) -> tuple[float, float, float, float]:
    """Estimate, repeated confidence interval and repeated p-value as of the last look."""
    if not looks:
        return 0.0, -math.inf, math.inf, 1.0
    last = looks[-1]
    fractions = tuple(look.fraction for look in looks)
    error = math.sqrt(last.variance)
    # Bounds depend on the looks really taken: information comes when it comes.
    half = group_sequential.bounds(fractions, design.alpha)[-1] * error
    p = group_sequential.repeated_p(fractions, last.estimate / error) if error else 1.0
    middle = sign * last.estimate
    return last.estimate, middle - half, middle + half, p


def _moments(rows: Mapping[str, Row]) -> SampleMoments:
    sums = sums_of(rows)
    if not np.isfinite(sums).all():  # JSON has no such numbers
        return SampleMoments(0, 0.0, 0.0)
    return SampleMoments(round(float(sums[0])), float(sums[1]), float(sums[2]))


def _mean(moments: SampleMoments) -> float | None:
    return moments.mean if moments.n else None
