"""The arms on which a device may have been, by the plans that the hub published. Pure.

A report is a claim: what a device may speak for follows from its name, which the hub gave it, from
its attributes of when the experiment began, and from the plans; never from what it says. A device
that was offline for days goes on under an older plan, so every plan of the experiment counts from
the moment on at which it was published.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cloud_hub.errors import FlagKind
from edge_sdk.contract.limits import CLOCK_SKEW_SECONDS
from edge_sdk.contract.names import CONTROL
from edge_sdk.contract.plan import Plan, assign

Seat = tuple[str, str]
"""An arm, and the version that answers on it."""


@dataclass(frozen=True)
class PublishedPlan:
    """A plan that names an experiment, and when the hub made it (Unix seconds)."""

    at: float
    plan: Plan


@dataclass(frozen=True)
class Membership:
    """Whether a claim counts; if not, why, and the flag that the device gets for it, if any."""

    counts: bool
    flag: FlagKind | None = None
    reason: str = ""


COUNTS = Membership(True)


def seats(plan: Plan, device: str, attributes: Mapping[str, str]) -> frozenset[Seat]:
    """Return what a device may speak for under a plan; empty if it takes no part.

    A paused arm is that of the devices that had entered it; which they were, only they know.

    Args:
        plan: that names an experiment.
        device: name of the device.
        attributes: by which it belongs to a cohort.
    """
    trial = plan.experiment
    if trial is None or not trial.takes_part(attributes):
        return frozenset()
    if trial.unit == "key":
        arms = {(arm.name, arm.release.version) for arm in trial.arms}
        return frozenset({(CONTROL, plan.serving.version), *arms})
    given = assign(plan, device, attributes, entered=True)
    if given.experiment is None:
        return frozenset()
    beside = [arm for arm in (given.shadow, given.interleaved) if arm is not None]
    return frozenset(
        {(given.arm, given.release.version), *((a.name, a.release.version) for a in beside)}
    )


def all_seats(
    plans: Sequence[PublishedPlan],
    device: str,
    attributes: Mapping[str, str],
    until: float | None = None,
) -> frozenset[Seat]:
    """Return what a device may have spoken for under any of some plans.

    Args:
        plans: all that name the experiment.
        device: name of the device.
        attributes: by which it belongs to a cohort.
        until: leaves out plans that were made later, Unix seconds; default all count.
    """
    known = (each.plan for each in plans if until is None or each.at <= until + CLOCK_SKEW_SECONDS)
    return frozenset[Seat]().union(*(seats(plan, device, attributes) for plan in known))


def may_speak(
    seat: Seat,
    until: float,
    plans: Sequence[PublishedPlan],
    device: str,
    settled: Mapping[str, str],
    said: Mapping[str, str],
) -> Membership:
    """Judge whether a device speaks for its own arm.

    Args:
        seat: arm and version that it names.
        until: end of the window that it speaks of, Unix seconds.
        plans: all that name the experiment.
        device: name of the device.
        settled: its attributes when the experiment began.
        said: its attributes as it says now.
    """
    if seat in all_seats(plans, device, settled, until):
        return COUNTS
    arm, version = seat
    if seat in all_seats(plans, device, settled):
        reason = f"arm: {arm} was not this device's yet when the window ended ({until:.0f})"
        return Membership(False, "clock", f"{reason}; check its clock")
    if settled != said and seat in all_seats(plans, device, said):
        return Membership(False, None, "its attributes changed since the experiment began")
    mine = ", ".join(sorted(f"{a} ({v})" for a, v in all_seats(plans, device, settled)))
    return Membership(
        False, "arm", f"arm: expected {mine or 'no part in it'}, as the plans say, got "
        f"{arm} ({version})"
    )  # fmt: skip


def may_fail(
    version: str, plans: Sequence[PublishedPlan], device: str, attributes: Mapping[str, str]
) -> bool:
    """Return whether a candidate can have failed on a device: the device was given it to run.

    Args:
        version: of the candidate.
        plans: all that name the experiment.
        device: name of the device.
        attributes: by which it belongs to a cohort.
    """
    given = all_seats(plans, device, attributes)
    return any(own == version for arm, own in given if arm != CONTROL)
