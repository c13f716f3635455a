"""Experiments of a model: the list, one live, and what a person may do with it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from fastapi import Request, Response

from cloud_hub.api.auth import hub_of
from cloud_hub.api.dependencies import KnownModel
from cloud_hub.database.records import ApprovalRecord
from cloud_hub.errors import Conflict, Invalid, NotFound
from cloud_hub.experiments.report import present_step
from cloud_hub.experiments.report_page import FILTERS, page_values
from cloud_hub.pages.models.home import address, check_seen, render, serial_of
from cloud_hub.pages.models.impact import promotion_impact
from cloud_hub.pages.models.prediction import predicted_end
from cloud_hub.plans.service import expecting
from cloud_hub.web.access import Posted, Viewer
from cloud_hub.web.frame import done, page_router

if TYPE_CHECKING:
    from cloud_hub.experiments.record import ExperimentRecord
    from cloud_hub.hub import Hub

router = page_router()
Action = Literal["pause", "resume", "stop", "drop", "promote"]

SHOWN: Final = 100
"""Experiments in the list, the newest."""

TONES: Final = {
    "running": "info", "paused": "warn", "waiting": "warn", "promoted": "good",
    "concluded": "good", "aborted": "bad", "stopped": "quiet",
}  # fmt: skip


class ActionWords(NamedTuple):
    """An action for people: statuses that allow it, its verb, what will happen, the deed."""

    statuses: tuple[str, ...]
    verb: str
    says: str
    done: str
    tone: str


ACTIONS: Final[Mapping[Action, ActionWords]] = {
    "pause": ActionWords(
        ("running", "waiting"), "Pause",
        "No further device enters. Those that are in go on with the version that they try.",
        "is paused", "primary",
    ),
    "resume": ActionWords(
        ("paused",), "Resume",
        "It goes on where it paused. What failed until now counts as seen: only new failures "
        "trip a guardrail again.", "goes on", "primary",
    ),
    "stop": ActionWords(
        ("running", "paused", "waiting"), "Stop",
        "It ends without a winner, and every device goes back to what serves.", "is stopped",
        "danger",
    ),
    "drop": ActionWords(
        ("running", "paused", "waiting"), "Drop an arm",
        "Devices of the arm go back to what serves, and count for no arm. The others go on.",
        "goes on without the arm", "danger",
    ),
    "promote": ActionWords(
        ("running", "paused", "waiting", "concluded"), "Promote",
        "The version serves everybody, and the experiment ends.", "ended: its version serves",
        "primary",
    ),
}  # fmt: skip


@router.get("/models/{model}/experiments")
def experiments(request: Request, user: Viewer, model: KnownModel) -> Response:
    """Show all experiments of a model."""
    records = hub_of(request).experiments.records(model)[::-1]
    return render(
        request, user, "experiments.html", model=model, tab="experiments", title="Experiments",
        records=[(record, present_step(record)) for record in records[:SHOWN]], tones=TONES,
        more=max(0, len(records) - SHOWN), now=time.time(),
    )  # fmt: skip


@router.get("/models/{model}/experiments/{id_}")
def experiment(request: Request, user: Viewer, model: KnownModel, id_: str) -> Response:
    """Show an experiment."""
    hub = hub_of(request)
    record = _record(hub, model, id_)
    now = time.time()
    allowed = [name for name in ACTIONS if _allows(record, name)]
    return render(
        request, user, "experiment.html", model=model, tab="experiments", title=id_, now=now,
        tone=TONES.get(record.status, "quiet"), end=predicted_end(record, now),
        allowed=allowed, words=ACTIONS, filters=FILTERS, **page_values(hub.experiments.report(id_)),
    )  # fmt: skip


@router.get("/models/{model}/experiments/{id_}/{what}")
def ask(request: Request, user: Viewer, model: KnownModel, id_: str, what: Action) -> Response:
    """Ask before something is done with an experiment."""
    user.require("operator", model)
    hub, words = hub_of(request), ACTIONS[what]
    record = _record(hub, model, id_)
    if not _allows(record, what):
        raise Conflict(f"{id_}: is {record.status}; nothing to {what} there")
    plan = hub.plans.current(model)
    arms = [(arm.name, arm.shown) for arm in record.running]
    return render(
        request, user, "ask_experiment.html", model=model, tab="experiments",
        title=f"{words.verb}: {id_}", lines=[words.says], e=record, arms=arms, what=what,
        impacts=_impacts(hub, record) if what in ("promote", "stop") else [],
        back=address(model, "experiments", id_), action=address(model, "experiments", id_, what),
        hidden=[("serial", plan.serial if plan else 0)], submit=words.verb, tone=words.tone,
        fields=[("reason", "Reason, for the audit", "text", "", True)],
    )  # fmt: skip


@router.post("/models/{model}/experiments/{id_}/{what}")
def act(
    request: Request, user: Viewer, form: Posted, model: KnownModel, id_: str, what: Action
) -> Response:
    """Do with an experiment what was asked for."""
    user.require("operator", model)
    hub, serial = hub_of(request), serial_of(form)
    service, record = hub.experiments, _record(hub, model, id_)
    reason, arm = form.text("reason"), form.get("arm", "").strip() or None
    said = f"{id_} {ACTIONS[what].done}."
    check_seen(hub, model, serial)
    with expecting(model, serial):
        if what == "drop":
            if arm is None:
                raise Invalid("arm: expected the name of one")
            service.drop(record.id, arm, actor=user.name, reason=reason)
        elif what == "promote":
            made = hub.approvals.promote_arm(record.id, by=user.person, reason=reason, arm=arm)
            if isinstance(made, ApprovalRecord):
                said = f"Request {made.id} waits for a second person."
        else:
            getattr(service, what)(record.id, actor=user.name, reason=reason)
    return done(address(model, "experiments", id_), said)


def _record(hub: Hub, model: str, id_: str) -> ExperimentRecord:
    record = hub.experiments.get(id_)
    if record.model != model:  # rights go by model, and its name is in the path
        raise NotFound(f"experiment {id_}: {model} has none of this name")
    return record


def _allows(record: ExperimentRecord, what: Action) -> bool:
    if what == "drop" and len(record.running) < 2:
        return False
    if what == "promote" and record.spec.tries_personalisation:
        return False
    return record.status in ACTIONS[what].statuses


def _impacts(hub: Hub, record: ExperimentRecord) -> list[tuple[str, object]]:
    """Return (arm, what its promotion changes), and for ``stop`` what serves as an arm."""
    devices, now = hub.fleet.participants(record.model), time.time()
    names = {arm.name: arm.version for arm in record.running}
    names["control"] = record.control
    return [
        (
            name,
            promotion_impact(
                devices, version, hub.registry.version(record.model, version).manifest, now
            ),
        )
        for name, version in names.items()
    ]
