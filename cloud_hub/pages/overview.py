"""The start page: every model at a glance, and what wants a person."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fastapi import Request, Response

from cloud_hub.api.auth import hub_of
from cloud_hub.events.event import EventFilter
from cloud_hub.events.wording import words_of
from cloud_hub.experiments.record import OPEN
from cloud_hub.pages.fleet_reading import fleet_now
from cloud_hub.web.access import PageUser, Posted, Viewer
from cloud_hub.web.frame import Pages, done, page_router

if TYPE_CHECKING:
    from cloud_hub.events.event import StreamEvent
    from cloud_hub.experiments.record import ExperimentRecord
    from cloud_hub.hub import Hub
    from cloud_hub.monitoring.store import Alarm
    from cloud_hub.pages.fleet_view import FleetSnapshot
    from cloud_hub.runs.store import RunRecord

router = page_router()
PAGES: Final = Pages("cloud_hub.pages")

NEWEST: Final = 12
ALARMS: Final = 20
"""Open alarms that are shown, the newest."""


@dataclass(frozen=True)
class ModelGlance:
    """One model: ``shares`` are (share of its devices, tone, words), ``on`` its devices on what
    serves.
    """

    model: str
    serving: str | None
    devices: int
    on: int
    shares: tuple[tuple[float, str, str], ...]
    alarms: tuple[Alarm, ...]
    experiments: tuple[ExperimentRecord, ...]
    run: RunRecord | None

    @property
    def open_alarms(self) -> int:
        """Number of its alarms that nobody acknowledged."""
        return len(self.alarms)

    @property
    def open_experiments(self) -> int:
        """Number of its experiments that have not ended."""
        return len(self.experiments)


@router.get("/")
def overview(request: Request, user: Viewer) -> Response:
    """Show the start page."""
    hub, whole = hub_of(request), fleet_now(request).seen_by(user.sees)
    glances = _glances(hub, whole, list(filter(user.sees, hub.registry.models())))
    alarms = [each for each in hub.alarms.all() if user.sees(each.model)]
    return PAGES.render(
        request, user, "overview.html", title="Overview", nav="overview", glances=glances,
        now=whole.at, devices=len({each.record.device for each in whole.devices}),
        states=Counter(each.state for each in whole.devices), alarms=alarms[::-1][:ALARMS],
        open_alarms=len(alarms),
        events=_newest(hub, user), words_of=words_of,
    )  # fmt: skip


def _newest(hub: Hub, user: PageUser) -> list[StreamEvent]:
    """Return the newest events that somebody may see, newest first."""
    models = user.person.models
    if models is not None and not models:
        return []  # an empty filter would be none at all
    wanted = EventFilter(models=tuple(models or ()))
    return list(hub.events.page(wanted, limit=NEWEST).events[::-1])


def _glances(hub: Hub, whole: FleetSnapshot, models: list[str]) -> list[ModelGlance]:
    running = [each for each in hub.experiments.records() if each.status in OPEN]
    runs = {run.model: run for run in hub.runs.records(active=True)}
    return [
        _glance(
            hub, model, whole,
            tuple(each for each in running if each.model == model), runs.get(model),
        )
        for model in models
    ]  # fmt: skip


def _glance(
    hub: Hub,
    model: str,
    whole: FleetSnapshot,
    experiments: tuple[ExperimentRecord, ...],
    run: RunRecord | None,
) -> ModelGlance:
    mine = [each for each in whole.devices if each.record.model == model]
    serving = hub.monitoring.serving(model)
    tones = Counter(each.tone for each in mine)
    words = {
        "good": "healthy", "info": "updating", "warn": "late", "bad": "lost or refused",
        "quiet": "revoked",
    }  # fmt: skip
    shares = tuple(
        (tones[tone] / len(mine), tone, f"{word}: {tones[tone]}")
        for tone, word in words.items()
        if tones[tone]
    )
    return ModelGlance(
        model, serving, len(mine), sum(each.record.version == serving for each in mine), shares,
        tuple(hub.monitoring.alarms(model)), experiments, run,
    )  # fmt: skip


@router.post("/alarms/acknowledge")
def acknowledge(request: Request, user: Viewer, form: Posted) -> Response:
    """Note that somebody has seen an alarm."""
    alarms, key = hub_of(request).alarms, form.text("key")
    models = alarms.models_of(key)
    for model in models:
        user.require("operator", model)
    if not models:
        user.require("operator")
    alarms.acknowledge(key, actor=user.name)
    return done("/", "The alarm is acknowledged: it stays until what it tells of is over.")
