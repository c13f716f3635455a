"""Loader of evidence: from rows of exposure to sums by device, of the cohort that is tried now.

Outcomes count since the present step began; failures since a person last acknowledged what had
failed, so that a guardrail also sees what came before the step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from cloud_hub.experiments.activations import Activations
from cloud_hub.experiments.evidence_rows import (
    GroupRows,
    arm_of,
    by_group,
    key_arm,
    merge_interleave,
    merge_shadow,
    units_of,
)
from cloud_hub.experiments.exposure_rows import ArmSums, ExposureRows
from cloud_hub.experiments.schedule import arms_of, in_stage
from cloud_hub.experiments.verdict.device_counts import Member, count
from cloud_hub.experiments.verdict.effects import Compared, compared_arms, compared_pairs
from cloud_hub.experiments.verdict.evidence import (
    ArmEvidence,
    Evidence,
    InterleaveEvidence,
    Settling,
    ShadowEvidence,
)
from cloud_hub.experiments.verdict.label_table import Seat
from cloud_hub.experiments.verdict.labelling import settle
from cloud_hub.experiments.verdict.measures import ExposureSums
from cloud_hub.experiments.verdict.spec import (
    CANDIDATE,
    ExperimentSpec,
    cohort_name,
    judged_by_labels,
)
from cloud_hub.fleet.health import late_after
from cloud_hub.statistics.allocation import (
    Allocation,
    check_allocation,
    check_key_allocation,
)
from edge_sdk.contract.names import CONTROL
from edge_sdk.contract.plan import SLOTS, Experiment, Plan

if TYPE_CHECKING:
    from cloud_hub.database.records import DeviceRecord
    from cloud_hub.experiments.claims import ExperimentClaims
    from cloud_hub.experiments.record import ExperimentRecord
    from cloud_hub.fleet.service import Fleet
    from cloud_hub.registry.service import Registry
    from cloud_hub.telemetry.service import Telemetry


@dataclass(frozen=True)
class ExperimentSnapshot:
    """An experiment at one moment: its record, its plan, the model's devices, and their sums.

    ``ever`` are sums by device and arm since the experiment began, ``step`` since its step did.
    """

    record: ExperimentRecord
    spec: ExperimentSpec
    plan: Plan
    trial: Experiment
    devices: Mapping[str, DeviceRecord]
    ever: Sequence[ArmSums]
    step: Sequence[ArmSums]
    now: float

    @cached_property
    def cohort(self) -> set[str]:
        """The devices of the stage's cohort."""
        return {d for d, r in self.devices.items() if in_stage(self.trial, r.attributes)}

    @cached_property
    def arms(self) -> dict[str, tuple[str, ...]]:
        """The arms that each device answers for, or runs in shadow."""
        return {d: arms_of(self.plan, d, record.attributes) for d, record in self.devices.items()}

    @cached_property
    def seats(self) -> frozenset[Seat]:
        """Arm and device, of what each device of the cohort answers for in this step."""
        return frozenset((arm, device) for device in self.cohort for arm in self.arms[device])


class EvidenceLoader:
    """Reader of what devices reported of an experiment."""

    def __init__(
        self,
        engine: Engine,
        fleet: Fleet,
        telemetry: Telemetry,
        claims: ExperimentClaims,
        registry: Registry,
    ) -> None:
        self._engine = engine
        self._rows = ExposureRows(engine)
        self._fleet = fleet
        self._claims = claims
        self._activations = Activations(engine, telemetry, claims)
        self._registry = registry

    def snapshot(self, record: ExperimentRecord, plan: Plan, now: float) -> ExperimentSnapshot:
        """Return where an experiment stands, with what devices reported in all.

        Args:
            record: of the experiment.
            plan: of the model; it must name the experiment.
            now: Unix seconds.
        """
        assert plan.experiment is not None
        devices = self.devices(record)
        # Rows begin on whole seconds; the sink starts a new one where a step begins.
        ever, step = self._rows.sums_of_step(record.id, int(record.step_started_at))
        of_plan = (plan, plan.experiment)
        return ExperimentSnapshot(record, record.spec, *of_plan, devices, ever, step, now)

    def devices(self, record: ExperimentRecord) -> dict[str, DeviceRecord]:
        """Return the model's devices with the attributes of when the experiment began.

        A device belongs where it did then, whatever it says of itself now. Where no cohort was
        declared attributes were not written down, and those that it says now are all there is.
        """
        devices = {device.device: device for device in self._fleet.participants(record.model)}
        settled = self._claims.settled(record.id)
        for device in devices.keys() & settled.keys():
            devices[device] = replace(devices[device], attributes=settled[device])
        return devices

    def load(self, snapshot: ExperimentSnapshot) -> Evidence:
        """Load the evidence: outcomes since the step began, failures since the stage did."""
        record, cohort = snapshot.record, snapshot.cohort
        since = int(record.step_started_at)
        sums = [row for row in snapshot.step if row.device in cohort]
        acknowledged = int(record.state.acknowledged or 0)
        failed = self._activations.failed(record, snapshot.devices, acknowledged)
        # A shadow or an interleaved ranking has one candidate, whatever its version is called.
        any_failed = frozenset[str]().union(*failed.values())
        soaked = snapshot.now - record.step_started_at
        silent = self._silent(snapshot, sums)
        if snapshot.spec.strategy == "shadow":
            return Evidence(
                shadow=self._shadow(snapshot, since, any_failed), soaked=soaked, silent=silent
            )
        if snapshot.spec.strategy == "interleave":
            return Evidence(
                interleave=self._interleave(snapshot, since, sums, any_failed),
                soaked=soaked,
                silent=silent,
            )
        if snapshot.spec.unit == "key":
            return self._by_key(snapshot, sums, failed)
        # A device that gets the candidate in this step serves the control until it hears of it. On
        # both arms it would be its own control, which nobody chose by chance.
        seated = [row for row in sums if (row.arm, row.device) in snapshot.seats]
        arms = self._arms(snapshot, since, seated)
        arms, settling = self._settled(snapshot, arms, snapshot.seats)
        past = self._rows.past(record.id)
        return Evidence(
            self._with_events(snapshot, arms, failed),
            allocation=self._allocation(snapshot, seated),
            soaked=soaked,
            silent=silent,
            past={device: sums for device, sums in past.items() if device in cohort},
            settling=settling,
        )

    def _by_key(
        self,
        snapshot: ExperimentSnapshot,
        sums: list[ArmSums],
        failed: Mapping[str, frozenset[str]],
    ) -> Evidence:
        """Evidence of a test by key: from buckets of keys, failures since the step began, too.

        That is since a person last acknowledged some, as a resume begins a step.
        """
        record, cohort = snapshot.record, snapshot.cohort
        since = int(record.step_started_at)
        rows = [row for row in self._rows.keys(record.id, since) if row.device in cohort]
        latency = self._latency(snapshot, since)
        arms = {
            name: replace(key_arm(name, rows, sums), latency=latency.get(name, {}))
            for name in _names(snapshot)
        }
        # Buckets do not say when their labels came: all count, and how unequal arms are is watched.
        seats = {(row.arm, row.device) for row in rows}
        settled, settling = self._settled(snapshot, arms, seats)
        arms = {name: replace(arm, labels=settled[name].labels) for name, arm in arms.items()}
        weights = _weights(snapshot)
        cohort_of = cohort_name(snapshot.trial.cohort)
        return Evidence(
            self._with_events(snapshot, arms, failed),
            allocation=(check_key_allocation(cohort_of, units_of(rows, weights), weights),),
            soaked=snapshot.now - record.step_started_at,
            silent=self._silent(snapshot, sums),
            settling=None if settling is None else replace(settling, waiting=0),
        )

    def _settled(
        self,
        snapshot: ExperimentSnapshot,
        arms: dict[str, ArmEvidence],
        seats: Collection[Seat],
    ) -> tuple[dict[str, ArmEvidence], Settling | None]:
        """The arms with the labels of settled windows of some seats, if labels decide at all."""
        if not judged_by_labels(snapshot.spec):
            return arms, None
        table = self._rows.labels(snapshot.record.id, snapshot.now)
        step = table.since(int(snapshot.record.step_started_at), seats)
        return settle(snapshot.spec.labels, arms, table, step, snapshot.now)

    def _with_events(
        self,
        snapshot: ExperimentSnapshot,
        arms: Mapping[str, ArmEvidence],
        failed: Mapping[str, frozenset[str]],
    ) -> dict[str, ArmEvidence]:
        """The arms with the devices on which their versions failed, or were activated."""
        # No version of the control can fail to activate: it serves already.
        versions = {arm.name: arm.release.version for arm in snapshot.trial.arms}
        activated = self._activations.activated(snapshot.record, snapshot.devices)
        return {
            name: replace(
                arm,
                failed=failed.get(versions.get(name, ""), frozenset()),
                activated=activated.get(versions.get(name, ""), frozenset()),
            )
            for name, arm in arms.items()
        }

    def _arms(
        self, snapshot: ExperimentSnapshot, since: int, sums: list[ArmSums]
    ) -> dict[str, ArmEvidence]:
        """Evidence of every arm that serves, with all labels.

        Args:
            snapshot: of the experiment.
            since: when the step began, Unix seconds.
            sums: of the step and its seats.
        """
        record, cohort = snapshot.record, snapshot.cohort
        acknowledged = int(record.state.failures_since)
        periods = self._rows.by_period(record.id, acknowledged)
        failures = [row for row in periods if row.device in cohort]
        largest = snapshot.plan.reporting.largest_error
        groups = self._groups(snapshot, acknowledged)
        latency = self._latency(snapshot, since)
        return {
            name: replace(
                arm_of(name, sums, failures, latency.get(name, {}), largest),
                groups=by_group((row for row in groups.rows if row.arm == name), groups.declared),
            )
            for name in _names(snapshot)
        }

    def counts(self, snapshot: ExperimentSnapshot) -> dict[str, dict[str, int]]:
        """Count the devices of each candidate's arm by state, finished stages included."""
        ever = self._activations.failed(snapshot.record, snapshot.devices, 0)
        failed = frozenset[str]().union(*ever.values())
        sums = {(row.device, row.arm): row.sums for row in snapshot.ever}
        members, failures, requests = [], 0, 0
        declared = snapshot.spec.unreachable_seconds
        for device, record in snapshot.devices.items():
            for arm in snapshot.arms[device]:
                mine = sums.get((device, arm), ExposureSums())
                if arm == CONTROL:
                    failures, requests = failures + _failures(mine), requests + _requests(mine)
                    continue
                members.append(
                    Member(
                        device,
                        arm,
                        silent=snapshot.now - record.seen_at,
                        failed=device in failed,
                        failures=_failures(mine),
                        requests=_requests(mine),
                        unreachable_after=declared or late_after(record.interval),
                    )
                )
        spec = snapshot.spec
        # A candidate that serves nobody has no devices of a control arm to be worse than.
        serves = spec.strategy not in ("shadow", "interleave")
        control = (failures, requests) if serves else (0, 0)
        return count(members, control, alpha=spec.guardrails.alpha)

    def last_event(self, record: ExperimentRecord) -> int:
        """The newest event, for an acknowledgement."""
        return self._activations.last(record)

    def totals(self, id_: str) -> list[ArmSums]:
        """Sums by device and arm since the start, whatever has become of the experiment."""
        return self._rows.sums(id_, 0)

    def compared(self, record: ExperimentRecord) -> list[Compared]:
        """Outcomes of all arms since the start, by period and device."""
        spec = record.spec
        if spec.strategy in ("shadow", "interleave"):
            nobody = frozenset[str]()
            shadow = merge_shadow(self._rows.shadow(record.id, 0), nobody)
            sessions = merge_interleave(self._rows.interleave(record.id, 0), {}, nobody)
            return compared_pairs(spec, shadow, sessions)
        return compared_arms(spec, self._rows.by_arm(record.id))

    def _silent(self, snapshot: ExperimentSnapshot, sums: list[ArmSums]) -> float:
        """Seconds since a candidate last reported in this step."""
        since = max(snapshot.record.step_started_at, snapshot.record.state.resumed_at or 0.0)
        arms = {arm.name for arm in snapshot.trial.arms}
        received = [row.received_at for row in sums if row.arm in arms]
        return float(snapshot.now - max([since, *received]))

    def _groups(self, snapshot: ExperimentSnapshot, since: int) -> GroupRows:
        """Late labels by declared group of rows; only read where the release declares some."""
        model, version = snapshot.record.model, snapshot.plan.serving.version
        declared = self._registry.release(model, version).manifest.groups
        rows = self._rows.groups(snapshot.record.id, since) if declared else ()
        return GroupRows(tuple(row for row in rows if row.device in snapshot.cohort), declared)

    def _allocation(
        self, snapshot: ExperimentSnapshot, sums: list[ArmSums]
    ) -> tuple[Allocation, ...]:
        """Arms of the devices that follow this step's plan, against the slots.

        A device that does not know the plan yet may rightly be on another arm, so it is not
        counted on any. That an arm was dropped changes nothing for the others: its units are
        counted on none, and who belongs to the others was settled before.
        """
        serial = int(snapshot.record.state.serial)
        # Only devices that follow the plan of this step: others rightly are on another arm.
        follows = {d for d, r in snapshot.devices.items() if r.plan >= serial}
        units = Counter(row.arm for row in sums if row.sums.predictions and row.device in follows)
        cohort = cohort_name(snapshot.trial.cohort)
        return (check_allocation(cohort, units, _weights(snapshot)),)

    def _latency(
        self, snapshot: ExperimentSnapshot, since: int
    ) -> dict[str, dict[str, tuple[int, ...]]]:
        """Histograms by arm and device; only read where a guardrail looks at them."""
        if snapshot.spec.guardrails.latency is None:
            return {}
        return {
            arm: {device: row for device, row in rows.items() if (arm, device) in snapshot.seats}
            for arm, rows in self._rows.latency(snapshot.record.id, since).items()
        }

    def _shadow(
        self, snapshot: ExperimentSnapshot, since: int, failed: frozenset[str]
    ) -> ShadowEvidence:
        reports = self._rows.shadow(snapshot.record.id, since)
        cohort = snapshot.cohort
        return merge_shadow([row for row in reports if row[0] in cohort], failed)

    def _interleave(
        self,
        snapshot: ExperimentSnapshot,
        since: int,
        sums: list[ArmSums],
        failed: frozenset[str],
    ) -> InterleaveEvidence:
        """Evidence of sessions; the candidate's errors come from its own window reports."""
        errors = {
            row.device: (row.sums.requests, float(row.sums.errors), float(row.sums.errors))
            for row in sums
            if row.arm == CANDIDATE
        }
        reports = self._rows.interleave(snapshot.record.id, since)
        cohort = snapshot.cohort
        return merge_interleave([row for row in reports if row[0] in cohort], errors, failed)


def _names(snapshot: ExperimentSnapshot) -> list[str]:
    """The arms that were not dropped, the control among them."""
    return [CONTROL, *(arm.name for arm in snapshot.trial.arms)]


def _weights(snapshot: ExperimentSnapshot) -> dict[str, float]:
    """The declared shares of the same arms."""
    weights = {arm.name: arm.weight / SLOTS for arm in snapshot.trial.arms}
    return {**weights, CONTROL: snapshot.trial.control / SLOTS}


def _failures(sums: ExposureSums) -> int:
    """Errors and wrong labels."""
    return sums.errors + sums.wrong


def _requests(sums: ExposureSums) -> int:
    """Occasions to fail: a labelled prediction is two, as it may fail and may be wrong."""
    return sums.requests + sums.labelled
