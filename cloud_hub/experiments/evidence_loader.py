"""From rows of exposure to evidence: sums by device, of the cohort that is tried now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Engine, func, select

from cloud_hub.database.records import DeviceRecord
from cloud_hub.experiments.schedule import arms_of, in_stage
from cloud_hub.experiments.store import ExperimentRecord
from cloud_hub.experiments.tables import exposures
from cloud_hub.experiments.verdict.device_counts import Member, count
from cloud_hub.experiments.verdict.evidence import (
    ArmEvidence,
    Evidence,
    InterleaveEvidence,
    Row,
    ShadowEvidence,
)
from cloud_hub.experiments.verdict.measures import SUMS, outcomes_of
from cloud_hub.experiments.verdict.spec import CANDIDATE, ExperimentSpec, cohort_name
from cloud_hub.fleet.service import Fleet
from cloud_hub.statistics.allocation import Allocation, check_allocation
from cloud_hub.statistics.heterogeneity import Counts
from cloud_hub.telemetry.service import Telemetry
from edge_sdk.contract.names import CONTROL
from edge_sdk.contract.plan import SLOTS, Experiment, Plan


@dataclass(frozen=True)
class ExperimentSnapshot:
    """An experiment at one moment: its plan, its devices, what is remembered of it."""

    record: ExperimentRecord
    spec: ExperimentSpec
    plan: Plan
    trial: Experiment
    devices: Mapping[str, DeviceRecord]
    now: float

    @property
    def here(self) -> set[str]:
        """The devices of the stage's cohort."""
        return {d for d, r in self.devices.items() if in_stage(self.trial, r.attributes)}


class Gathering:
    """Reads what devices reported of an experiment."""

    def __init__(self, engine: Engine, fleet: Fleet, telemetry: Telemetry) -> None:
        self._engine = engine
        self._fleet = fleet
        self._telemetry = telemetry

    def scene(self, record: ExperimentRecord, plan: Plan, now: float) -> ExperimentSnapshot:
        """Everything that does not need the exposures; the plan must name the experiment."""
        assert plan.experiment is not None
        devices = {device.device: device for device in self._fleet.devices(record.model)}
        return ExperimentSnapshot(record, record.declared, plan, plan.experiment, devices, now)

    def evidence(self, scene: ExperimentSnapshot) -> Evidence:
        """What is known now: outcomes since the step began, failures since the stage did."""
        record, here = scene.record, scene.here
        since = int(record.step_started_at)
        sums = [row for row in self._sums(record.id, since) if row["device"] in here]
        failed = self._failed(scene)
        any_failed = frozenset[str]().union(*failed.values())
        soaked = scene.now - record.step_started_at
        silent = self._silent(scene, sums)
        if scene.spec.strategy == "shadow":
            return Evidence(
                shadow=self._shadow(scene, since, any_failed), soaked=soaked, silent=silent
            )
        if scene.spec.strategy == "interleave":
            return Evidence(
                interleave=self._interleave(scene, since, sums, any_failed),
                soaked=soaked,
                silent=silent,
            )
        failures = self._failures(scene)
        versions = {CONTROL: "", **{arm.name: arm.release.version for arm in scene.trial.arms}}
        arms = {
            name: _arm(
                name, sums, failures, failed.get(version, frozenset()),
                self._latency(scene, since, name),
            )
            for name, version in versions.items()
        }  # fmt: skip
        return Evidence(
            arms, allocation=self._allocation(scene, sums), soaked=soaked, silent=silent
        )

    def counts(self, scene: ExperimentSnapshot) -> dict[str, dict[str, int]]:
        """Devices of each candidate's arm by state, finished stages included."""
        failed = frozenset[str]().union(*self._failed(scene, ever=True).values())
        beside = scene.spec.strategy in ("shadow", "interleave")
        by_device: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
        for row in self._sums(scene.record.id, 0):
            have = by_device[row["device"], row["arm"]]
            have[0] += row["errors"] + (row["labelled"] - row["correct"])
            have[1] += row["predictions"] + row["errors"] + row["labelled"]
        members, control = [], [0, 0]
        for device, found in scene.devices.items():
            for arm in arms_of(scene.plan, device, found.attributes):
                failures, requests = by_device.get((device, arm), (0, 0))
                if arm == CONTROL:
                    control = [control[0] + failures, control[1] + requests]
                    continue
                own = by_device.get((device, CONTROL)) if scene.spec.unit == "key" else None
                silent, bad = scene.now - found.seen_at, device in failed
                beside_it = (own[0], own[1]) if own else None
                members.append(Member(device, arm, silent, bad, failures, requests, beside_it))
        against = (0, 0) if beside else (control[0], control[1])
        return count(
            members, against,
            unreachable_after=scene.spec.unreachable_seconds, alpha=scene.spec.guardrails.alpha,
        )  # fmt: skip

    def totals(self, id_: str) -> list[dict[str, Any]]:
        """Sums by device and arm since the start, whatever has become of the experiment."""
        return self._sums(id_, 0)

    def _sums(self, id_: str, since: int) -> list[dict[str, Any]]:
        columns = [func.sum(exposures.c[name]).label(name) for name in SUMS]
        last = func.max(exposures.c.received_at).label("received_at")
        query = (
            select(exposures.c.device, exposures.c.arm, last, *columns)
            .where(exposures.c.experiment == id_, exposures.c.start >= since)
            .group_by(exposures.c.device, exposures.c.arm)
        )
        return self._rows(query)

    def _failures(self, scene: ExperimentSnapshot) -> list[dict[str, Any]]:
        """By device, arm and window, since the last acknowledgement."""
        names = ("predictions", "errors", "labelled", "correct")
        columns = [func.sum(exposures.c[name]).label(name) for name in names]
        since = int(scene.record.state.get("failures_since", 0))
        key = (exposures.c.device, exposures.c.arm, exposures.c.start)
        query = (
            select(*key, *columns)
            .where(exposures.c.experiment == scene.record.id, exposures.c.start >= since)
            .group_by(*key)
        )
        here = scene.here
        return [row for row in self._rows(query) if row["device"] in here]

    def _failed(
        self, scene: ExperimentSnapshot, *, ever: bool = False
    ) -> dict[str, frozenset[str]]:
        """By version, devices that could not activate it or took it back, since acknowledged."""
        after = 0 if ever else int(scene.record.state.get("acknowledged", 0))
        found: dict[str, set[str]] = defaultdict(set)
        for event in self._telemetry.events(scene.record.model, experiment=scene.record.id):
            if event.outcome in ("failed", "rolled_back") and event.id > after:
                found[event.version].add(event.device)
        return {version: frozenset(devices) for version, devices in found.items()}

    def last_event(self, record: ExperimentRecord) -> int:
        """The newest event, for an acknowledgement."""
        events = self._telemetry.events(record.model, experiment=record.id)
        return max((event.id for event in events), default=0)

    def _silent(self, scene: ExperimentSnapshot, sums: list[dict[str, Any]]) -> float:
        """How long no candidate reported in this step."""
        since = max(scene.record.step_started_at, float(scene.record.state.get("resumed_at", 0)))
        arms = {arm.name for arm in scene.trial.arms}
        heard = [row["received_at"] for row in sums if row["arm"] in arms]
        return float(scene.now - max([since, *heard]))

    def _allocation(
        self, scene: ExperimentSnapshot, sums: list[dict[str, Any]]
    ) -> tuple[Allocation, ...]:
        """Arms of the devices that follow this step's plan, against the slots.

        A device that does not know the plan yet may rightly be on another arm, so it is not
        counted on any. Units smaller than a device are counted by the device. That an arm was
        dropped changes nothing for the others: its units are counted on none, and who belongs to
        the others was settled before.
        """
        serial = int(scene.record.state.get("serial", 0))
        follows = {d for d, r in scene.devices.items() if r.plan >= serial}
        found: dict[str, int] = defaultdict(int)
        for row in sums:
            device = scene.devices.get(row["device"])
            if device is None or row["device"] not in follows:
                continue
            if scene.spec.unit == "key":
                found[row["arm"]] += row["units"]
            elif row["predictions"] and row["arm"] in arms_of(
                scene.plan, device.device, device.attributes
            ):
                found[row["arm"]] += 1
        weights = {arm.name: arm.weight / SLOTS for arm in scene.trial.arms}
        weights[CONTROL] = scene.trial.control / SLOTS
        return (check_allocation(cohort_name(scene.trial.cohort), found, weights),)

    def _latency(
        self, scene: ExperimentSnapshot, since: int, arm: str
    ) -> dict[str, tuple[int, ...]]:
        """Histograms by device; only read where a guardrail looks at them."""
        if scene.spec.guardrails.latency is None:
            return {}
        c, here = exposures.c, scene.here
        query = select(c.device, c.detail).where(
            c.experiment == scene.record.id, c.arm == arm, c.start >= since, c.latency_n > 0
        )
        found: dict[str, Any] = {}
        for row in self._rows(query):
            if row["device"] in here:
                added = np.asarray(row["detail"]["latency"])
                found[row["device"]] = found.get(row["device"], 0) + added
        return {device: tuple(counts.tolist()) for device, counts in found.items()}

    def _bodies(self, scene: ExperimentSnapshot, kind: str, since: int) -> list[dict[str, Any]]:
        c, here = exposures.c, scene.here
        query = select(c.device, c.detail).where(
            c.experiment == scene.record.id, c.kind == kind, c.start >= since
        )
        return [row for row in self._rows(query) if row["device"] in here]

    def _shadow(
        self, scene: ExperimentSnapshot, since: int, failed: frozenset[str]
    ) -> ShadowEvidence:
        return shadow_of(self._bodies(scene, "shadow", since), failed)

    def _interleave(
        self,
        scene: ExperimentSnapshot,
        since: int,
        sums: list[dict[str, Any]],
        failed: frozenset[str],
    ) -> InterleaveEvidence:
        """Its errors are told by the reports of the candidate's own monitor."""
        errors = {
            row["device"]: (row["predictions"] + row["errors"], *(float(row["errors"]),) * 2)
            for row in sums
            if row["arm"] == CANDIDATE
        }
        return interleave_of(self._bodies(scene, "interleave", since), errors, failed)

    def _rows(self, query: Any) -> list[dict[str, Any]]:
        with self._engine.connect() as db:
            return [dict(row) for row in db.execute(query).mappings()]


def _arm(
    name: str,
    sums: list[dict[str, Any]],
    failures: list[dict[str, Any]],
    failed: frozenset[str],
    latency: Mapping[str, tuple[int, ...]],
) -> ArmEvidence:
    mine = [row for row in sums if row["arm"] == name]
    return ArmEvidence(
        outcomes=outcomes_of({row["device"]: row for row in mine}),
        failures=_by_device_and_period([row for row in failures if row["arm"] == name]),
        latency=latency,
        exposed=frozenset(r["device"] for r in mine if r["predictions"] + r["errors"]),
        failed=failed,
        predictions=sum(r["predictions"] + r["errors"] for r in mine),
    )


def _by_device_and_period(
    rows: list[dict[str, Any]],
) -> dict[str, dict[tuple[str, int], Counts]]:
    keys = [(row["device"], row["start"]) for row in rows]
    errors = [(row["errors"], row["predictions"] + row["errors"]) for row in rows]
    wrong = [(row["labelled"] - row["correct"], row["labelled"]) for row in rows]
    kinds = {"errors": errors, "wrong labels": wrong}
    return {kind: dict(zip(keys, counts, strict=True)) for kind, counts in kinds.items()}


def shadow_of(bodies: list[dict[str, Any]], failed: frozenset[str]) -> ShadowEvidence:
    """Merged shadow reports: ``bodies`` are device and plain report."""
    rows: dict[str, dict[str, Row]] = defaultdict(dict)
    skipped: dict[str, int] = defaultdict(int)
    won = lost = compared = 0
    for found in bodies:
        device, body = found["device"], found["detail"]
        pairs = body.get("labelled", {})
        mine, theirs = pairs.get("candidate_only", 0), pairs.get("incumbent_only", 0)
        labelled = sum(pairs.values())
        wrong, failures = body.get("disagreements", 0), sum(body.get("errors", {}).values())
        have = body.get("compared", 0)
        won, lost, compared = won + mine, lost + theirs, compared + have
        _add(rows["labelled"], device, (labelled, mine - theirs, mine + theirs))
        _add(rows["disagreements"], device, (have, wrong, wrong))
        _add(rows["errors"], device, (have + failures, failures, failures))
        for name in ("confidence", "value", "latency"):
            m = body.get(name, {})
            row = (m.get("count", 0), m.get("total", 0.0), m.get("squares", 0.0))
            _add(rows[name], device, row)
        for reason, times in body.get("skipped", {}).items():
            skipped[reason] += times
    return ShadowEvidence(
        won=won, lost=lost, compared=compared, skipped=skipped, failed=failed, **rows
    )  # fmt: skip


def interleave_of(
    bodies: list[dict[str, Any]], errors: Mapping[str, Row], failed: frozenset[str]
) -> InterleaveEvidence:
    """Merged interleaving reports."""
    totals: dict[str, dict[str, int]] = {
        name: defaultdict(int) for name in ("clicks", "first", "refused", "wins")
    }
    ties = sessions = 0
    for found in bodies:
        body = found["detail"]
        for name, total in totals.items():
            for team, times in body.get(name, {}).items():
                total[team] += times
        ties, sessions = ties + body.get("ties", 0), sessions + body.get("sessions", 0)
    wins = totals.pop("wins")
    return InterleaveEvidence(
        wins[CANDIDATE], wins[CONTROL], ties, sessions, errors=errors, failed=failed,
        **{name: dict(total) for name, total in totals.items()},
    )  # fmt: skip


def _add(rows: dict[str, Row], device: str, more: Row) -> None:
    have = rows.get(device, (0.0, 0.0, 0.0))
    rows[device] = (have[0] + more[0], have[1] + more[1], have[2] + more[2])
