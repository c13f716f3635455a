"""Arms that devices claim, held against the plans that the hub published.

A device's arm follows from the plan and its name alone, so the hub knows it better than a report
says it. A device that is late rightly reports on an arm of an older plan; on one that no plan ever
gave it, it does not. Neither does it on one from before it joined.
"""

from __future__ import annotations

import threading
from typing import Final, NamedTuple

from sqlalchemy import Engine, select

from cloud_hub.errors import ArmRefused, Invalid
from cloud_hub.fleet.tables import devices
from cloud_hub.plans.tables import plans
from edge_sdk.contract.plan import Plan, assign
from edge_sdk.contract.window import Window

SKEW_SECONDS: Final = 300.0
"""By which a device's clock may be behind the hub's."""


class _Published(NamedTuple):
    """A plan with an experiment, and when it was published (Unix seconds)."""

    at: float
    plan: Plan


class ArmClaims:
    """Checker of the windows that devices report of an experiment.

    Args:
        engine: of the hub's database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._newest: dict[str, int] = {}
        self._plans: dict[str, dict[str, list[_Published]]] = {}

    def check(self, device: str, window: Window) -> None:
        """Refuse a window on an arm that no plan gave the device.

        Args:
            device: who reports.
            window: that it reports.

        Raises:
            ArmRefused: whatever its attributes are, the device was not on that arm.
            Invalid: there is no such experiment, or the device is not in its cohort.
        """
        if window.experiment is None:
            return
        published = self._of_experiment(window.model, window.experiment)
        if not published:
            raise Invalid(f"experiment: {window.model} has no {window.experiment}")
        query = select(devices.c.attributes, devices.c.enrolled_at).where(
            devices.c.device == device, devices.c.model == window.model
        )
        with self._engine.connect() as db:
            row = db.execute(query).first()
        attributes, enrolled_at = row or ({}, 0.0)
        seen = [p.plan for p in published if p.at < window.end + SKEW_SECONDS]
        claimed = (window.arm, window.version)
        if window.end + SKEW_SECONDS < enrolled_at:
            raise ArmRefused(f"{window.experiment}: the window ended before the device enrolled")
        if any(claimed in arms_given(plan, device, attributes) for plan in seen):
            return
        shown = f"{window.experiment}: version {window.version} on arm {window.arm}"
        if any(claimed in arms_given(plan, device, attributes, anywhere=True) for plan in seen):
            raise Invalid(f"{shown}: the device's attributes are not of its cohort")
        raise ArmRefused(f"{shown}: no plan gave it to this device by then")

    def _of_experiment(self, model: str, experiment: str) -> list[_Published]:
        """Plans that named the experiment, oldest first; read once each."""
        with self._lock:
            newest = self._newest.get(model, 0)
            query = (
                select(plans.c.serial, plans.c.at, plans.c.plan)
                .where(plans.c.model == model, plans.c.serial > newest)
                .order_by(plans.c.serial)
            )
            with self._engine.connect() as db:
                rows = db.execute(query).all()
            by_id = self._plans.setdefault(model, {})
            for serial, at, text in rows:
                plan = Plan.from_json(text.encode())
                self._newest[model] = serial
                if plan.experiment is not None:
                    by_id.setdefault(plan.experiment.id, []).append(_Published(at, plan))
            return list(by_id.get(experiment, ()))


def arms_given(
    plan: Plan, device: str, attributes: dict[str, str], *, anywhere: bool = False
) -> set[tuple[str, str]]:
    """Return the (arm, version) pairs on which a device may report under a plan. Pure.

    Args:
        plan: with an experiment.
        device: its name.
        attributes: of the device.
        anywhere: as if the device were in the experiment's cohort.
    """
    trial = plan.experiment
    assert trial is not None
    control = ("control", plan.serving.version)
    if anywhere:
        # In the cohort, and in none that is finished: who gets what depends on the slot alone.
        arm = trial.arm_of(device, {}) if not trial.completed else None
        every = {(a.name, a.release.version) for a in trial.declared}
        if trial.unit == "key" or trial.completed:
            return {control, *every}
        return {control} if arm is None else {control, (arm.name, arm.release.version)}
    if trial.unit == "key":
        inside = trial.takes_part(attributes)
        arms = ((arm.name, arm.release.version) for arm in trial.declared)
        return {control, *arms} if inside else set()
    given = assign(plan, device, attributes, entered=True)
    if given.experiment is None:
        return set()
    pairs = {(given.arm, given.release.version)}
    paired = given.shadow or given.interleaved
    return pairs | {(paired.name, paired.release.version)} if paired is not None else pairs
