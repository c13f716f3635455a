"""One device: how it is, what happened to it, and what may be done about it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from fastapi import Request, Response

from cloud_hub.api.auth import hub_of
from cloud_hub.errors import NotFound
from cloud_hub.events.event import EventFilter
from cloud_hub.fleet.health import state_of
from cloud_hub.pages.device_view import MOST, Happening, asks_view, timeline
from cloud_hub.pages.fleet_reading import STATES, forget_fleet
from cloud_hub.pages.fleet_view import TONES
from cloud_hub.web.access import PageUser, Posted, Viewer
from cloud_hub.web.charts import Line, chart
from cloud_hub.web.frame import Pages, done, page_router
from cloud_hub.web.pages import part

if TYPE_CHECKING:
    from cloud_hub.database.records import DeviceRecord
    from cloud_hub.flags.service import Flag
    from cloud_hub.hub import Hub
    from cloud_hub.telemetry.windows import VersionWindow
    from edge_sdk.contract.fleet import Ask

router = page_router()
PAGES: Final = Pages("cloud_hub.pages")

DAY: Final = 86_400.0
WINDOWS: Final = 12
"""Windows of a device that are shown."""

Change = Literal["revoke", "forget", "approve", "log", "sync"]


class Question(NamedTuple):
    """What is asked before a device is changed.

    Attributes:
        verb: of the button.
        done: what the device is then.
        tone: of the button.
        role: that it takes.
        reason: the audit wants one.
        says: what will happen.
    """

    verb: str
    done: str
    tone: str
    role: str
    reason: bool
    says: str


QUESTIONS: Final[dict[Change, Question]] = {
    "revoke": Question(
        "Revoke", "is revoked", "danger", "operator", True,
        "From now on the hub gives it nothing, and what it sends does not count. It goes on "
        "answering with the release that it has.",
    ),
    "forget": Question(
        "Forget", "is forgotten", "danger", "administrator", True,
        "The hub deletes the device and everything that it alone sent; sums over many devices and "
        "the audit stay. If it still runs, it has to enrol again. This cannot be undone.",
    ),
    "approve": Question(
        "Approve", "takes part", "primary", "operator", False,
        "It takes part from now on: it is given what serves, and what it reports counts.",
    ),
    "log": Question(
        "Ask for the log of", "is asked for its log", "primary", "operator", False,
        "When it next talks with the hub it sends the newest 500 lines of the SDK's log, without "
        "values of rows, if its owner allows that. They are kept for seven days; the audit notes "
        "who asked.",
    ),
    "sync": Question(
        "Sync", "is asked to sync", "primary", "operator", False,
        "It syncs at once where it waits at the hub (push); any other one syncs when it next "
        "polls, as it would have.",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class ModelOnDevice:
    """One model on a device.

    Attributes:
        record: as the device last said it is.
        state: its health, or why it takes no part.
        plan: serial of the newest plan of the model.
        windows: that it reported in the last day, newest first.
        flags: raised about its reports.
        picture: chart of its predictions, as SVG; empty where there is nothing to draw.
    """

    record: DeviceRecord
    state: str
    plan: int | None
    windows: tuple[VersionWindow, ...]
    flags: tuple[Flag, ...]
    picture: str


@router.get("/devices/{device}")
def device_page(request: Request, user: Viewer, device: str) -> Response:
    """Show a device."""
    hub, now = hub_of(request), time.time()
    identity = hub.fleet.identities.get(device)
    records = _records(hub, user, device)
    flags = hub.flags.by_device()
    return PAGES.render(
        request, user, "device.html", title=device, nav="fleet", identity=identity, now=now,
        parts=[_on_device(hub, each, flags.get((device, each.model), []), now) for each in records],
        moments=_moments(hub, device, records), words=STATES, tones=TONES,
        asks=asks_view(hub.fleet.asks.of(device), now),
    )  # fmt: skip


@router.get("/devices/{device}/{what}")
def ask(request: Request, user: Viewer, device: str, what: Change) -> Response:
    """Ask before something is done to a device."""
    question = QUESTIONS[what]
    _check_right(hub_of(request), user, device, question)
    fields = [("reason", "Reason, for the audit", "text", "", True)] if question.reason else []
    here = f"/devices/{part(device)}"
    return PAGES.render(
        request, user, "ask.html", title=f"{question.verb} {device}?", nav="fleet",
        lines=[question.says], action=f"{here}/{what}", back=here, fields=fields, hidden=[],
        submit=question.verb, tone=question.tone,
    )  # fmt: skip


@router.post("/devices/{device}/{what}")
def change(request: Request, user: Viewer, form: Posted, device: str, what: Change) -> Response:
    """Do to a device what was asked for."""
    question, identities = QUESTIONS[what], hub_of(request).fleet.identities
    _check_right(hub_of(request), user, device, question)
    if what in ("log", "sync"):
        kind: Ask = "logs" if what == "log" else "sync"
        hub_of(request).fleet.asks.ask(device, kind, actor=user.name)
    elif what == "approve":
        identities.approve(device, actor=user.name)
    elif what == "revoke":
        identities.revoke(device, reason=form.text("reason"), actor=user.name)
    else:
        hub_of(request).fleet.forget(device, reason=form.text("reason"), actor=user.name)
    forget_fleet(request)
    there = "/fleet" if what == "forget" else f"/devices/{part(device)}"
    return done(there, f"{device} {question.done}.")


def _records(hub: Hub, user: PageUser, device: str) -> list[DeviceRecord]:
    """Return what somebody may see of a device; raises NotFound where that is nothing."""
    records = [each for each in hub.fleet.on_device(device) if user.sees(each.model)]
    if not records and user.person.models is not None:
        raise NotFound(f"device {device:.40}: no such device among those of {user.name}")
    return records


def _check_right(hub: Hub, user: PageUser, device: str, question: Question) -> None:
    """Raise Forbidden unless somebody may do this to every model of a device."""
    seen = _records(hub, user, device)
    for record in seen:
        user.require(question.role, record.model)
    if not seen or len(seen) < len(hub.fleet.on_device(device)):
        user.require(question.role)


def _moments(hub: Hub, device: str, records: Sequence[DeviceRecord]) -> list[Happening]:
    steps = [
        event
        for record in records
        for event in hub.telemetry.events(record.model, device=device, limit=MOST)
    ]
    joined = min((record.enrolled_at for record in records), default=0.0)
    about = hub.events.page(EventFilter(device=device), limit=MOST)
    return timeline(device, joined, about.events, steps)


def _on_device(hub: Hub, record: DeviceRecord, flags: Sequence[Flag], now: float) -> ModelOnDevice:
    plan = hub.plans.current(record.model)
    versions = {record.version, plan.serving.version if plan else None} - {None}
    windows = hub.telemetry.device_windows(
        record.model, record.device, versions=[v for v in versions if v], since=now - DAY
    )
    points = [(float(each.start), float(sum(each.predictions.values()))) for each in windows]
    picture = chart([Line("predictions a window", points)]) if len(points) > 1 else ""
    return ModelOnDevice(
        record, state_of(record, plan, now), plan.serial if plan else None,
        tuple(windows[::-1][:WINDOWS]), tuple(flags), picture,
    )  # fmt: skip
