"""What devices claim of experiments, held against the hub's own plans.

The plans of an experiment are read once each; those that differ in nothing that settles an arm are
one. Attributes by which a device belongs to a cohort are those of ``experiment_members``.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from sqlalchemy import Connection, Engine, insert, literal, select

from cloud_hub.database.bulk import rows_by_key
from cloud_hub.database.engine import insert_if_new, transaction
from cloud_hub.errors import Implausible
from cloud_hub.experiments import membership
from cloud_hub.experiments.exposure_sink import ExposureAdditions
from cloud_hub.experiments.membership import Membership, PublishedPlan
from cloud_hub.experiments.tables import members
from cloud_hub.fleet.replayed import PREFIX as REPLAYED
from cloud_hub.fleet.tables import devices
from cloud_hub.plans.stored import plans_after
from cloud_hub.telemetry.sender import Sender
from edge_sdk.contract.messages import Body, UpdateEvent, Windowed
from edge_sdk.contract.plan import Experiment, Plan

FAILED: Final = ("failed", "rolled_back")
"""Outcomes that speak against a candidate; what else a device tells decides nothing."""


@dataclass
class _History:
    """Plans of one model up to ``serial``, by experiment."""

    serial: int = 0
    by_experiment: dict[str, tuple[PublishedPlan, ...]] = field(default_factory=dict)


class ExperimentClaims:
    """Judge of what devices say of experiments; an ``ExposureSink`` of telemetry.

    Args:
        engine: of the hub's database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._histories: dict[str, _History] = {}
        self._lock = threading.Lock()

    def begin(self, db: Connection, senders: Sequence[Sender]) -> TransactionClaims:
        """Begin to judge uploads.

        Args:
            db: transaction that is to store their messages.
            senders: devices that sent them.
        """
        return TransactionClaims(self, db, senders)

    def settle_members(self, db: Connection, trial: Experiment, model: str) -> None:
        """Settle to which cohort each device belongs, as an experiment begins.

        Args:
            db: transaction in which it begins.
            trial: the experiment.
            model: whose devices may take part.
        """
        rows = select(literal(trial.id), devices.c.device, devices.c.attributes).where(
            devices.c.model == model, ~devices.c.device.startswith(REPLAYED)
        )
        columns = ["experiment", "device", "attributes"]
        # In the database: a fleet of a million devices is one statement.
        db.execute(insert(members).from_select(columns, rows))

    def settled(self, id_: str) -> dict[str, dict[str, str]]:
        """Return the attributes of devices by which they belong to an experiment, as settled."""
        query = select(members.c.device, members.c.attributes).where(members.c.experiment == id_)
        with transaction(self._engine) as db:
            return {row.device: row.attributes for row in db.execute(query)}

    def published(self, db: Connection, model: str, id_: str) -> tuple[PublishedPlan, ...]:
        """Return the plans that named an experiment, in order of time.

        Args:
            db: an open transaction.
            model: whose plans.
            id_: of the experiment.
        """
        with self._lock:
            history = self._histories.setdefault(model, _History())
            for serial, at, text in plans_after(db, model, history.serial):
                _remember(history, at, text)
                history.serial = serial
            return history.by_experiment.get(id_, ())


class TransactionClaims:
    """What is read of experiments once for all uploads of a transaction, and what they add.

    Args:
        claims: knows the plans.
        db: the transaction.
        senders: devices whose uploads it is to store.
    """

    def __init__(self, claims: ExperimentClaims, db: Connection, senders: Sequence[Sender]) -> None:
        self._claims, self.db = claims, db
        self._devices = sorted({sender.device for sender in senders})
        self._plans: dict[tuple[str, str], tuple[PublishedPlan, ...]] = {}
        self._members: dict[str, dict[str, Mapping[str, str]]] = {}
        self.additions = ExposureAdditions(db)

    def of(self, sender: Sender) -> DeviceClaims:
        """Return who judges what one of the devices says."""
        return DeviceClaims(self, sender)

    def write(self) -> None:
        """Store what was recorded."""
        self.additions.write()

    def published(self, model: str, id_: str) -> tuple[PublishedPlan, ...]:
        """Return the plans that named an experiment; see :meth:`ExperimentClaims.published`."""
        if (model, id_) not in self._plans:
            self._plans[model, id_] = self._claims.published(self.db, model, id_)
        return self._plans[model, id_]

    def members(self, id_: str) -> dict[str, Mapping[str, str]]:
        """Return the settled attributes of those of the devices that belong to an experiment."""
        if id_ not in self._members:
            keys = [(id_, device) for device in self._devices]
            columns = ("experiment", "device")
            rows = rows_by_key(self.db, members, columns, ("device", "attributes"), keys)
            self._members[id_] = {device: json.loads(text) for device, text in rows}
        return self._members[id_]


class DeviceClaims:
    """Judge of what one upload of a device says of experiments.

    Args:
        work: what the transaction knows of them.
        sender: the device.
    """

    def __init__(self, work: TransactionClaims, sender: Sender) -> None:
        self._work, self._sender = work, sender
        self._settled: dict[str, Mapping[str, str]] = {}

    def counts(self, body: Body) -> bool:
        """Return whether a message counts for the experiment that it names.

        Raises:
            Implausible: no plan of the hub gave the device the arm that it speaks for.
        """
        if isinstance(body, Windowed):
            window = body.window
            if window.experiment is None:
                return True
            seat, end = (window.arm, window.version), float(window.end)
            judged = self._judge_seat(window.experiment, seat, end)
        elif isinstance(body, UpdateEvent) and body.experiment and body.outcome in FAILED:
            judged = self._judge_event(body.experiment, body.version)
        else:
            return True
        if judged.flag is not None:
            raise Implausible(judged.reason, judged.flag)
        return judged.counts

    def record(self, body: Body) -> None:
        """Add the counts of a message to its experiment; see :class:`ExposureAdditions`."""
        self._work.additions.add(self._sender.device, body)

    def _judge_seat(self, id_: str, seat: membership.Seat, end: float) -> Membership:
        known = self._published(id_)
        if not known:
            reason = f"experiment: no plan of {self._sender.model} ever named {id_}"
            return Membership(False, "arm", reason)
        settled, said = self._settled_attributes(id_), self._sender.attributes
        return membership.may_speak(seat, end, known, self._sender.device, settled, said)

    def _judge_event(self, id_: str, version: str) -> Membership:
        known, device = self._published(id_), self._sender.device
        settled, said = self._settled_attributes(id_), self._sender.attributes
        if membership.may_fail(version, known, device, settled):
            return membership.COUNTS
        if settled != said and membership.may_fail(version, known, device, said):
            return Membership(False, None, "its attributes changed since the experiment began")
        reason = f"event: no plan gave this device {version} to try in {id_}"
        return Membership(False, "arm", reason)

    def _published(self, id_: str) -> tuple[PublishedPlan, ...]:
        return self._work.published(self._sender.model, id_)

    def _settled_attributes(self, id_: str) -> Mapping[str, str]:
        """The attributes that settle the device's cohort in an experiment."""
        if id_ not in self._settled:
            self._settled[id_] = self._settle(id_)
        return self._settled[id_]

    def _settle(self, id_: str) -> Mapping[str, str]:
        device, said = self._sender.device, self._sender.attributes
        if not any(has_cohorts(each.plan.experiment) for each in self._published(id_)):
            return said
        known, db = self._work.members(id_), self._work.db
        if device not in known:
            # A device that joined after it began is settled by what it says first.
            row = {"experiment": id_, "device": device, "attributes": dict(said)}
            mine = (members.c.experiment == id_) & (members.c.device == device)
            known[device] = (
                said
                if insert_if_new(db, members, row)
                else db.execute(select(members.c.attributes).where(mine)).scalar_one()
            )
        return known[device]


def has_cohorts(trial: Experiment | None) -> bool:
    """Return whether attributes settle who is in an experiment, or on which arm."""
    return trial is not None and bool(trial.cohort or trial.completed)


def _remember(history: _History, at: float, text: str) -> None:
    if json.loads(text).get("experiment") is None:
        return
    plan = Plan.from_json(text.encode())
    assert plan.experiment is not None
    before = history.by_experiment.get(plan.experiment.id, ())
    # Plans change for other reasons too, such as a new pack every minute: only arms matter here.
    if before and _arms(before[-1].plan) == _arms(plan):
        return
    history.by_experiment[plan.experiment.id] = (*before, PublishedPlan(at, plan))


def _arms(plan: Plan) -> tuple[str, Experiment | None]:
    trial = plan.experiment
    return plan.serving.version, replace(trial, outcomes=()) if trial is not None else None
