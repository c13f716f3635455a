"""How the devices of an experiment's candidates are. Pure.

Offline devices neither stall nor dilute anything: shares are of those with exposure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from cloud_hub.statistics.failures import log_device_evidence
from cloud_hub.statistics.heterogeneity import SPREAD

State = Literal["pending", "unreachable", "failed", "regressed", "healthy"]
STATES: tuple[State, ...] = ("pending", "unreachable", "failed", "regressed", "healthy")


@dataclass(frozen=True)
class Member:
    """A device that the plan gives a candidate.

    ``silent`` seconds since it was heard of; ``failed`` to activate the candidate or took it back;
    ``failures`` (wrong labels and errors) of how many requests, where 0 means no exposure; the
    same of its ``own_control``, where it has one.
    """

    device: str
    arm: str
    silent: float
    failed: bool
    failures: int = 0
    requests: int = 0
    own_control: tuple[int, int] | None = None


def state_of(
    member: Member, control: tuple[int, int], *, unreachable_after: float, alpha: float
) -> State:
    """One device's state; ``control`` is (failures, requests) of the control arm in all."""
    if member.failed:
        return "failed"
    if member.requests == 0:
        return "unreachable" if member.silent > unreachable_after else "pending"
    evidence = log_device_evidence(
        member.failures, member.requests, member.own_control or control,
        differ=0.0 if member.own_control else SPREAD,
    )  # fmt: skip
    if evidence >= math.log(1 / alpha):
        return "regressed"
    return "healthy"


def count(
    members: Sequence[Member],
    control: tuple[int, int],
    *,
    unreachable_after: float,
    alpha: float,
) -> dict[str, dict[str, int]]:
    """By arm, how many devices are in each state, and ``exposed``: the denominator."""
    found: dict[str, dict[str, int]] = {}
    for member in members:
        row = found.setdefault(member.arm, dict.fromkeys((*STATES, "exposed"), 0))
        state = state_of(member, control, unreachable_after=unreachable_after, alpha=alpha)
        row[state] += 1
        row["exposed"] += member.requests > 0
    return found


def shares(counts: Mapping[str, int]) -> dict[str, float]:
    """Failed and regressed among the devices with exposure."""
    exposed = counts.get("exposed", 0)
    return {name: counts[name] / exposed for name in ("failed", "regressed")} if exposed else {}
