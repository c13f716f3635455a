"""Runs of a model: the list, one with its steps, log and gate, and what a person may do."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from fastapi import Request, Response

from cloud_hub.api.auth import hub_of
from cloud_hub.api.dependencies import KnownModel
from cloud_hub.api.request_body import Number
from cloud_hub.database.documents import as_document
from cloud_hub.errors import Conflict, HubFault, NotFound
from cloud_hub.pages.models.evidence import pairs_of
from cloud_hub.pages.models.home import address, render
from cloud_hub.runs.store import RunCause
from cloud_hub.web.access import Posted, Viewer
from cloud_hub.web.frame import done, page_router
from cloud_hub.web.wording import ShownFigure, check_name, value_text

if TYPE_CHECKING:
    from cloud_hub.hub import Hub
    from cloud_hub.runs.steps.store import StepRecord
    from cloud_hub.runs.store import RunRecord

router = page_router()
RunAction = Literal["cancel", "override", "resume", "repeat"]

SHOWN: Final = 60
LOG: Final = 24_000
"""Characters of a log that are shown, the last."""

TONES: Final = {
    "waiting": "info", "training": "info", "experiment": "info", "done": "good", "promoted": "good",
    "published": "good", "failed": "bad", "rejected": "bad", "cancelled": "quiet", "held": "warn",
    "running": "info", "reused": "quiet", "skipped": "quiet", "interrupted": "warn",
}  # fmt: skip


class RunWords(NamedTuple):
    """An action on a run: statuses that allow it, its verb, what will happen, the tone."""

    statuses: tuple[str, ...]
    verb: str
    says: str
    tone: str
    role: str = "operator"


ACTIONS: Final[dict[RunAction, RunWords]] = {
    "cancel": RunWords(
        ("waiting", "training"), "Cancel",
        "Its worker is ended, and what it made is not published.", "danger",
    ),
    "override": RunWords(
        ("rejected", "held"), "Publish all the same",
        "The candidate is published although the offline gate refused it, and goes on as the "
        "policy says. The reason stays on the version for good.", "danger", "publisher",
    ),
    "resume": RunWords(
        ("failed", "rejected", "cancelled"), "Resume",
        "It is taken up at the first step that failed, or whose inputs have changed; what was "
        "done before is used again.", "primary",
    ),
    "repeat": RunWords(
        ("published", "promoted", "done", "experiment", "rejected", "held"), "Repeat",
        "The same data and code make the bytes once more, to compare them. Nothing is published.",
        "primary",
    ),
}  # fmt: skip


@router.get("/models/{model}/runs")
def runs(request: Request, user: Viewer, model: KnownModel) -> Response:
    """Show the runs of a model."""
    hub = hub_of(request)
    records = hub.runs.records(model)[::-1]
    return render(
        request, user, "runs.html", model=model, tab="runs", title="Runs", tones=TONES,
        records=records[:SHOWN], more=max(0, len(records) - SHOWN), now=time.time(),
        trains=hub.runs.can_train(model), wear=_wear(hub, model),
    )  # fmt: skip


@router.get("/models/{model}/runs/new")
def ask_new(request: Request, user: Viewer, model: KnownModel) -> Response:
    """Ask before a run is requested."""
    user.require("operator", model)
    return render(
        request, user, "ask_plain.html", model=model, tab="runs", title="Request a run?",
        lines=["A run collects rows, trains, and checks the candidate by the offline gate; what "
               "passes goes out as the policy says. It joins a run that is under way."],
        action=address(model, "runs", "new"), back=address(model, "runs"), hidden=[],
        fields=[("reason", "Reason", "text", "", True)], submit="Request a run", tone="primary",
    )  # fmt: skip


@router.post("/models/{model}/runs/new")
def new(request: Request, user: Viewer, form: Posted, model: KnownModel) -> Response:
    """Request a run."""
    user.require("operator", model)
    cause = RunCause("manual", actor=user.name, reason=form.text("reason"))
    run = hub_of(request).runs.request(model, cause)
    return done(address(model, "runs", run.id), f"Run {run.id} is requested.")


@router.get("/models/{model}/runs/{run}")
def run_page(request: Request, user: Viewer, model: KnownModel, run: Number) -> Response:
    """Show a run."""
    hub = hub_of(request)
    record = _record(hub, model, run)
    return render(
        request, user, "run.html", model=model, tab="runs", title=f"Run {run}", run=record,
        tone=TONES.get(record.status, "quiet"), tones=TONES, now=time.time(),
        causes=[(each, pairs_of(each.evidence or {})) for each in record.causes],
        steps=[(each, _figures(each), _resources(each))
               for each in hub.runs.steps.of_run(run, None)],
        log=_log(hub, run), allowed=[name for name in ACTIONS if _allows(record, name)],
        words=ACTIONS, validation=record.validation,
        parameters=pairs_of(record.parameters),
    )  # fmt: skip


@router.get("/models/{model}/runs/{run}/{what}")
def ask(
    request: Request, user: Viewer, model: KnownModel, run: Number, what: RunAction
) -> Response:
    """Ask before something is done with a run."""
    words = ACTIONS[what]
    user.require(words.role, model)
    record = _record(hub_of(request), model, run)
    if not _allows(record, what):
        raise Conflict(f"run {run}: is {record.status}; nothing to {what} there")
    fields: list[Any] = [("reason", "Reason", "text", "", True)]
    return render(
        request, user, "ask_plain.html", model=model, tab="runs", title=f"{words.verb}: run {run}",
        lines=[words.says], action=address(model, "runs", run, what), fields=fields,
        back=address(model, "runs", run), hidden=[("status", record.status)], submit=words.verb,
        tone=words.tone,
    )  # fmt: skip


@router.post("/models/{model}/runs/{run}/{what}")
def act(
    request: Request, user: Viewer, form: Posted, model: KnownModel, run: Number, what: RunAction
) -> Response:
    """Do with a run what was asked for."""
    user.require(ACTIONS[what].role, model)
    hub, reason = hub_of(request), form.text("reason")
    record = _record(hub, model, run)
    if record.status != form.get("status"):
        raise Conflict(f"run {run}: is {record.status} by now; look at it again, nothing was done")
    if what == "cancel":
        record = hub.runs.cancel(run, actor=user.name, reason=reason)
    elif what == "override":
        record = hub.runs.override(run, actor=user.name, reason=reason)
    elif what == "resume":
        record = hub.past_runs.resume(run, actor=user.name, reason=reason)
    else:
        record = hub.past_runs.repeat(run, actor=user.name)
    return done(address(model, "runs", record.id), f"Run {record.id} is {record.status}.")


def _figures(step: StepRecord) -> list[ShownFigure]:
    """Return what a step found, in words."""
    if step.step == "gate":  # the candidate's score by check
        scores = step.metrics.items()
        return [ShownFigure(check_name(name), value_text(value)) for name, value in scores]
    counted = {name: value for name, value in step.metrics.items() if "@" in name}
    rows = [ShownFigure(f"rows of {name}", value_text(value)) for name, value in counted.items()]
    rest = {name: value for name, value in step.metrics.items() if name not in counted}
    return [*rows, *pairs_of(rest)]


def _resources(step: StepRecord) -> list[ShownFigure]:
    """Return what a step needed, beside its time."""
    return pairs_of({name: value for name, value in step.resources.items() if name != "seconds"})


def _record(hub: Hub, model: str, run: int) -> RunRecord:
    record = hub.runs.get(run)
    if record.model != model:  # rights go by model, and its name is in the path
        raise NotFound(f"run {run}: {model} has none of this number")
    return record


def _allows(record: RunRecord, what: RunAction) -> bool:
    if record.repeats is not None and what in ("resume", "repeat", "override"):
        return False
    return record.status in ACTIONS[what].statuses


def _log(hub: Hub, run: int) -> str:
    try:
        text = hub.runs.log(run)
    except HubFault:  # it has taken no step here
        return ""
    return text[-LOG:]


def _wear(hub: Hub, model: str) -> Any:
    try:
        wear = hub.runs.offline_gate.holdout_wear(model)
    except HubFault:
        return None
    return None if wear is None else as_document(wear)
