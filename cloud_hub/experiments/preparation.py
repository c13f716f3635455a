"""Preparation of an experiment: what would be refused, and how long it would take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from cloud_hub.errors import NotFound
from cloud_hub.experiments import checks, personalised, planner, schedule
from cloud_hub.experiments.report_rates import metered_of, past_of, rates_of
from cloud_hub.text.durations import format_duration

if TYPE_CHECKING:
    from cloud_hub.experiments.verdict.measures import ExposureSums
    from cloud_hub.experiments.verdict.spec import ExperimentSpec
    from cloud_hub.fleet.service import Fleet
    from cloud_hub.plans.service import Plans
    from cloud_hub.registry.service import Registry
    from edge_sdk.contract.plan import Experiment, Plan


@dataclass(frozen=True)
class ExperimentForecast:
    """Needs of an experiment, by outcome; ``devices`` is how many it can reach."""

    summary: str
    devices: int
    outcomes: tuple[planner.OutcomePlan, ...]


class Preparation:
    """Checks before an experiment starts; they change nothing."""

    def __init__(self, engine: Engine, registry: Registry, plans: Plans, fleet: Fleet) -> None:
        self._engine = engine
        self._registry = registry
        self._plans = plans
        self._fleet = fleet

    def check(self, spec: ExperimentSpec) -> Plan:
        """Return the plan that ``spec`` would change, or refuse.

        Raises:
            NotFound: a version is not published, or nothing serves yet.
            Conflict: another experiment runs, or a version serves already, is gone, or takes other
                inputs.
            Invalid: a cohort that no device belongs to, or an outcome that nobody measures.
        """
        plan = self._plans.current(spec.model)
        if plan is None:
            raise NotFound(f"{spec.model}: nothing serves yet; promote a version first")
        checks.check_plan(spec, plan)
        personalised.check_personalised(spec, plan)
        serving = self._registry.release(spec.model, plan.serving.version).manifest
        for arm in spec.tried:
            checks.check_version(self._registry.version(spec.model, arm.version))
            manifest = self._registry.release(spec.model, arm.version).manifest
            checks.check_signature(manifest, serving)
        checks.check_cohorts(spec, [d.attributes for d in self._fleet.participants(spec.model)])
        if any(outcome.metric == "energy" for outcome in spec.outcomes):
            # Energy is the one outcome that most boards cannot measure at all.
            counts = metered_of(self._engine, self._fleet, spec, plan.serving.version)
            checks.check_metered(*counts)
        return plan

    def begin(self, spec: ExperimentSpec, now: float) -> tuple[Plan, dict[str, ExposureSums]]:
        """Return the plan that ``spec`` would change, and each device's past under it.

        Args:
            spec: the declared experiment.
            now: Unix seconds.

        Raises:
            NotFound, Conflict, Invalid: as :meth:`check`.
        """
        plan = self.check(spec)
        return plan, past_of(self._engine, spec, plan.serving.version, now)

    def first_step(
        self, spec: ExperimentSpec, plan: Plan, id_: str
    ) -> tuple[ExperimentSpec, Experiment]:
        """Return an experiment as it starts, and as its first plan names it.

        Args:
            spec: the declared experiment, checked.
            plan: that it changes.
            id_: that it will have: its salt, and so who takes part, depends on it.
        """
        devices = {d.device: d.attributes for d in self._fleet.participants(spec.model)}
        # A first step of fewer devices than decide would wait for ever.
        spec = schedule.enlarged(spec, devices)
        # Before any plan is signed: a salt that leaves an arm empty could not be changed later.
        salt = schedule.choose_salt(id_, schedule.groups_of(spec, devices), spec.minimum_devices)
        versions = {a.version: self._plans.reference(spec.model, a.version) for a in spec.tried}
        releases = personalised.references(spec, plan, versions)
        return spec, schedule.begin(spec, id_, releases, salt)

    def plan(self, spec: ExperimentSpec, now: float, power: float = 0.8) -> ExperimentForecast:
        """Return how much an experiment needs and about how long it takes; raises as :meth:`check`.

        Args:
            spec: the declared experiment.
            now: Unix seconds.
            power: chance of finding a difference of the declared minimum effect.
        """
        serving = self.check(spec).serving.version
        # As it would start: a first step of too few devices is enlarged.
        devices = {d.device: d.attributes for d in self._fleet.participants(spec.model)}
        spec = schedule.enlarged(spec, devices)
        rates = rates_of(self._engine, self._fleet, spec, serving, now)
        outcomes = planner.plan(spec, rates, power=power)
        summary = (
            f"{spec.model}: {spec.strategy} of {spec.versions} against {serving}; {rates.devices} "
            f"devices, {_shared(spec)}; chance of finding what is there {power:.0%}"
        )
        return ExperimentForecast(summary, rates.devices, tuple(outcomes))


def _shared(spec: ExperimentSpec) -> str:
    """Share of the devices with the candidate, for people."""
    share = f"{planner.smallest_share(spec):.1%} of them"
    if spec.strategy in ("shadow", "interleave"):
        return f"{share} with the candidate beside what serves"
    at_least = ""
    if spec.strategy == "canary":
        steps = sum(len([step for step in stage.steps if step < 1]) for stage in spec.path)
        many = f"{steps} step{'' if steps == 1 else 's'}"
        at_least = f" ({many}, at least {format_duration(steps * spec.soak_seconds)})"
    return f"{share} on the smallest arm at first{at_least}"
