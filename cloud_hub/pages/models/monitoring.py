"""Monitoring of a model: signals by severity, pictures of a feature, and acknowledging alarms."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Query, Request, Response

from cloud_hub.api.auth import hub_of
from cloud_hub.api.dependencies import KnownModel
from cloud_hub.errors import Conflict, NotFound
from cloud_hub.pages.models import monitoring_view as view
from cloud_hub.pages.models.home import address, render
from cloud_hub.web.access import Posted, Viewer
from cloud_hub.web.frame import done, page_router
from cloud_hub.web.wording import signal_name

if TYPE_CHECKING:
    from cloud_hub.hub import Hub
    from cloud_hub.monitoring.service import MonitoringStatus
    from cloud_hub.monitoring.store import Alarm

router = page_router()
Signal = Annotated[str, Query(max_length=400)]


@router.get("/models/{model}/monitoring")
def monitoring(
    request: Request, user: Viewer, model: KnownModel, feature: Signal = "", every: bool = False
) -> Response:
    """Show what monitoring has found.

    Args:
        request: leads to the hub.
        user: who looks.
        model: name of the model.
        feature: column whose picture is shown; by default that of the worst signal.
        every: show all signals, and not only the most severe.
    """
    hub = hub_of(request)
    try:
        status = hub.monitoring.status(model)
    except NotFound as error:  # nothing serves yet: the page says so
        return render(
            request, user, "monitoring.html", model=model, tab="monitoring", title="Monitoring",
            seen=None, nothing=str(error), now=time.time(),
        )  # fmt: skip
    features = view.rows_of(status.signals, *view.FEATURE_KINDS)
    chosen = feature or next((row.of_feature for row in features if row.of_feature), "")
    shown = view.MOST if every else view.SHOWN
    return render(
        request, user, "monitoring.html", model=model, tab="monitoring", title="Monitoring",
        seen=status, now=time.time(), features=features[:shown], every=every,
        in_a_row=hub.registry.policy(model).monitoring.in_a_row,
        more=max(0, len(features) - shown),
        labels=view.rows_of(status.signals, "estimate", "concept"),
        groups=view.rows_of(status.signals, "fairness", "selection", "skew"),
        alarms=[(alarm, view.said(alarm.kind, alarm.evidence)) for alarm in status.alarms],
        past=_past(hub, model),
        accuracy=view.accuracy_chart(_history(hub, model, "estimate:accuracy")),
        chosen=chosen, **_pictures(hub, model, status, chosen),
    )  # fmt: skip


@router.get("/models/{model}/monitoring/acknowledge")
def ask(request: Request, user: Viewer, model: KnownModel, signal: Signal) -> Response:
    """Ask before an alarm is acknowledged."""
    user.require("operator", model)
    alarm = _open(hub_of(request), model, signal)
    rebase = alarm.kind in ("drift", "concept")
    return render(
        request, user, "ask_acknowledge.html", model=model, tab="monitoring",
        title=f"Acknowledge: {signal_name(signal)}?", back=address(model, "monitoring"), fields=[],
        lines=["The alarm ends, and may be raised again by what comes later. Nothing is changed "
               "on any device."],
        action=address(model, "monitoring", "acknowledge"), rebase=rebase, alarm=alarm,
        hidden=[("signal", signal), ("alarm", alarm.id)], submit="Acknowledge", tone="primary",
        evidence=view.said(alarm.kind, alarm.evidence),
    )  # fmt: skip


@router.post("/models/{model}/monitoring/acknowledge")
def acknowledge(request: Request, user: Viewer, form: Posted, model: KnownModel) -> Response:
    """Acknowledge an alarm."""
    user.require("operator", model)
    hub, signal = hub_of(request), form.text("signal", 400)
    if str(_open(hub, model, signal).id) != form.get("alarm"):
        raise Conflict(f"{signal}: another alarm is open by now; look at that first")
    rebase = form.get("rebase") == "yes"
    hub.monitoring.acknowledge(model, signal, actor=user.name, rebase=rebase)
    normal = ", and what is now is what is normal" if rebase else ""
    return done(address(model, "monitoring"), f"{signal_name(signal)} is acknowledged{normal}.")


def _open(hub: Hub, model: str, signal: str) -> Alarm:
    found = [alarm for alarm in hub.monitoring.alarms(model) if alarm.signal == signal]
    if not found:
        raise NotFound(f"{model}: {signal!r} has no open alarm")
    return found[0]


def _past(hub: Hub, model: str) -> list[Alarm]:
    """Return alarms that somebody acknowledged, newest first."""
    every = hub.monitoring.alarms(model, open_only=False)
    return [alarm for alarm in every[::-1] if alarm.acknowledged_at is not None][:10]


def _history(hub: Hub, model: str, signal: str) -> list[Any]:
    try:
        return hub.monitoring.history(model, signal=signal, limit=200)
    except NotFound:  # the version has no such signal
        return []


def _pictures(hub: Hub, model: str, status: MonitoringStatus, name: str) -> dict[str, str]:
    """Return the charts of a column: its histogram, and its drift over the windows."""
    profile = hub.registry.release(model, status.version).profile()
    feature = view.feature_named(profile, name)
    if feature is None or not status.signals:
        return {"picture": "", "history": ""}
    newest = max(row.start for row in status.signals)
    rows = hub.telemetry.histogram_rows(model, status.version, since=newest)
    columns = [counts[name] for _, counts, _ in rows if name in counts]
    now = [sum(each) for each in zip(*columns, strict=True)]
    picture = view.picture_of(feature, now) if now else ""
    return {
        "picture": picture,
        "history": view.history_chart(_history(hub, model, f"drift:{name}")),
    }
