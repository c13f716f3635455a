"""Whether adapting lists to units helps: values of policies, from the sums that devices report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cloud_hub.errors import NotFound
from cloud_hub.statistics.influence import device_factors
from cloud_hub.statistics.off_policy import (
    Estimator,
    PolicyOutcomes,
    policy_gain,
    policy_value,
    value_interval,
)
from cloud_hub.statistics.samples import Contrast
from cloud_hub.telemetry.ranking_rows import SUMS, ranking_rows, versions_ranked
from edge_sdk.contract.personal.ranking_report import POLICIES, Policy

if TYPE_CHECKING:
    from sqlalchemy import Engine

DAY: Final = 86_400.0
ESTIMATORS: Final[tuple[Estimator, ...]] = ("importance", "self_normalised", "robust")

COMPARABLE: Final = 0.01
"""Share of lists that cannot have been a policy's, above which policies are not compared."""


@dataclass(frozen=True)
class ValueEstimate:
    """A reward a list, or a difference of two, with an interval that may be looked at any time.

    All are ``None`` while too little is known.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class PolicyValue:
    """One policy: its value by estimator, the lists that its weights are worth, and the share of
    lists that had no chance to be its.
    """

    values: Mapping[Estimator, ValueEstimate]
    effective: float
    unsupported: float


@dataclass(frozen=True)
class RankingValues:
    """What adapting the lists of one version comes to.

    Attributes:
        model: name of the line.
        version: that ranked.
        days: that were looked at.
        devices: that reported.
        lists: that had an outcome.
        shown: adapted lists.
        stopped: devices that went back to the release's order because adapting did harm there.
        policies: by name.
        gain: of the adapted list over the release's own, in reward a list.
        said: the verdict in words.
    """

    model: str
    version: str
    days: int
    devices: int
    lists: int
    shown: int
    stopped: int
    policies: Mapping[Policy, PolicyValue]
    gain: ValueEstimate
    said: str


class Rankings:
    """Adapted rankings of all models.

    Args:
        engine: of the hub's database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def values(self, model: str, version: str | None, *, days: int, now: float) -> RankingValues:
        """Return what adapting comes to.

        Args:
            model: name of the line.
            version: that ranked; ``None`` for the one that was reported last.
            days: to look back.
            now: Unix seconds.

        Raises:
            NotFound: no device has reported adapted rankings of it.
        """
        reported = versions_ranked(self._engine, model)
        if version is None and reported:
            version = reported[0]
        if version is None or version not in reported:
            what = model if version is None else f"{model} {version}"
            raise NotFound(
                f"{what}: no device has reported rankings that adapt; see 'personalise' in the "
                "model's policy, and pass unit= to predict_ranking and clicks to feedback"
            )
        rows = ranking_rows(self._engine, model, version, now - days * DAY)
        return values_of(model, version, days, rows)


def values_of(
    model: str, version: str, days: int, rows: Sequence[Mapping[str, Any]]
) -> RankingValues:
    """Return what adapting comes to, of sums by device and policy; pure."""
    logged = [row for row in rows if row["policy"] == "logged"]
    factors = device_factors({row["device"]: float(row["lists"]) for row in logged})
    outcomes = {name: _outcomes(name, rows, factors) for name in POLICIES}
    lists = sum(int(row["lists"]) for row in logged)
    unsupported = {
        name: sum(int(r["unsupported"]) for r in rows if r["policy"] == name) / max(lists, 1)
        for name in POLICIES
    }
    policies = {
        name: PolicyValue(
            {each: _estimate(policy_value(outcomes[name], each)) for each in ESTIMATORS},
            float(outcomes[name].effective), unsupported[name],
        )
        for name in POLICIES
    }  # fmt: skip
    comparable = max(unsupported["own"], unsupported["adapted"]) <= COMPARABLE
    gain = ValueEstimate()
    if comparable:
        gain = _estimate(policy_gain(outcomes["own"], outcomes["adapted"]))
    return RankingValues(
        model, version, days, len(logged), lists, sum(int(row["shown"]) for row in logged),
        sum(row["stopped"] > 0 for row in logged), policies, gain, _said(gain, comparable),
    )  # fmt: skip


def _outcomes(
    policy: str, rows: Sequence[Mapping[str, Any]], factors: Mapping[str, float]
) -> PolicyOutcomes:
    """Sums of one policy by device; one device weighs ten times the median one's at most."""
    by_device: dict[str, tuple[float, ...]] = dict.fromkeys(factors, (0.0,) * 8)
    for row in rows:
        if row["policy"] == policy and row["device"] in factors:
            lists = float(row["lists"] - row["unsupported"])
            sums = (lists, *(float(row[name]) for name in SUMS))
            by_device[row["device"]] = tuple(factors[row["device"]] * each for each in sums)
    return PolicyOutcomes.by_device(by_device)


def _estimate(contrast: Contrast) -> ValueEstimate:
    low, high = (float(end) for end in value_interval(contrast))
    if not math.isfinite(low):
        return ValueEstimate()
    return ValueEstimate(float(contrast.estimate), low, high)


def _said(gain: ValueEstimate, comparable: bool) -> str:
    if not comparable:
        return (
            "adapted lists and the release's own cannot be compared: one of them was often not "
            "among those that could be shown; see 'explore' in the policy"
        )
    if gain.low is None or gain.high is None:
        return "too few lists yet to say whether adapting helps"
    if gain.low > 0:
        return "adapting helps"
    if gain.high < 0:
        return "adapting does harm: switch it off"
    return "not known yet whether adapting helps"
