"""Packs and cascade of a model: where answers come from, and what that saves."""

from __future__ import annotations

import time
from typing import Final

from fastapi import Request, Response

from cloud_hub.api.auth import hub_of
from cloud_hub.api.dependencies import KnownModel
from cloud_hub.pages.models.home import render
from cloud_hub.pages.models.packs_view import downloaded, shares_of, sources_chart
from cloud_hub.web.access import Viewer
from cloud_hub.web.frame import page_router

router = page_router()
DAY: Final = 86_400.0
SHOWN: Final = 30
"""Packs in the list, the newest."""


@router.get("/models/{model}/packs")
def packs(request: Request, user: Viewer, model: KnownModel) -> Response:
    """Show where the answers of a model come from."""
    hub, now = hub_of(request), time.time()
    policy, plan = hub.registry.policy(model), hub.plans.current(model)
    windows = hub.telemetry.windows(model, since=now - 7 * DAY)
    today = [window for window in windows if window.start >= now - DAY]
    asks = policy.cloud is not None and policy.cascade.mode != "local"
    records = hub.packs.records(model)[::-1]
    release = None if plan is None else hub.registry.release(model, plan.serving.version)
    active = [d for d in hub.fleet.participants(model) if d.standing == "active"]
    current = plan.serving.pack.file.sha256 if plan and plan.serving.pack else None
    return render(
        request, user, "packs.html", model=model, tab="packs", title="Packs & cascade", now=now,
        day=shares_of(today, asks_cloud=asks), week=shares_of(windows, asks_cloud=asks),
        picture=sources_chart(windows), policy=policy, asks=asks,
        certified=None if release is None else release.manifest.cascade,
        records=records[:SHOWN], more=max(0, len(records) - SHOWN), bytes_of=downloaded(records),
        current=current, holders=sum(current is not None and d.pack == current for d in active),
        devices=len(active), entities=hub.entity_packs.status(model),
    )  # fmt: skip
