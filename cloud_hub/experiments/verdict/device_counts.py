"""Counts of the devices with a candidate, by their state. Pure.

Offline devices neither stall nor dilute anything: shares are of those with exposure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from cloud_hub.statistics.failures import log_evidence_by_device

State = Literal["pending", "unreachable", "failed", "regressed", "healthy"]
STATES: tuple[State, ...] = ("pending", "unreachable", "failed", "regressed", "healthy")


@dataclass(frozen=True)
class Member:
    """A device that the plan gives a candidate.

    ``silent`` seconds since it was heard of, and ``unreachable_after`` so many; ``failed`` to
    activate the candidate or took it back; ``failures`` (wrong labels and errors) of how many
    requests, where 0 means no exposure.
    """

    device: str
    arm: str
    silent: float
    failed: bool
    failures: int = 0
    requests: int = 0
    unreachable_after: float = 7_200.0


def state_of(member: Member, regressed: bool) -> State:
    """Return one device's state.

    Args:
        member: the device.
        regressed: it fails more often than the control.
    """
    if member.failed:
        return "failed"
    if member.requests == 0:
        return "unreachable" if member.silent > member.unreachable_after else "pending"
    return "regressed" if regressed else "healthy"


def count(
    members: Sequence[Member],
    control: tuple[int, int],
    *,
    alpha: float,
) -> dict[str, dict[str, int]]:
    """Count devices by arm and state; ``exposed`` is the denominator of shares.

    Args:
        members: the devices with a candidate.
        control: (failures, requests) of the control arm in all.
        alpha: chance that a device that fails no more often counts as regressed.
    """
    by_arm: dict[str, dict[str, int]] = {}
    failures = np.array([member.failures for member in members], dtype=np.int64)
    requests = np.array([member.requests for member in members], dtype=np.int64)
    evidence = log_evidence_by_device(failures, requests, control)
    worse = (evidence >= math.log(1 / alpha)).tolist()
    for member, regressed in zip(members, worse, strict=True):
        row = by_arm.setdefault(member.arm, dict.fromkeys((*STATES, "exposed"), 0))
        state = state_of(member, regressed)
        row[state] += 1
        row["exposed"] += member.requests > 0
    return by_arm


def shares(counts: Mapping[str, int]) -> dict[str, float]:
    """Return the shares of failed and regressed devices among those with exposure."""
    exposed = counts.get("exposed", 0)
    return {name: counts[name] / exposed for name in ("failed", "regressed")} if exposed else {}
