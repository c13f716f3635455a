"""The stream of events over HTTP: pages, and waiting for the next one."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Query, Request
from fastapi.concurrency import run_in_threadpool

from cloud_hub.api.auth import ViewerOfSome, hub_of, may_see
from cloud_hub.api.router import HubRouter
from cloud_hub.database.documents import Document, as_document
from cloud_hub.database.event_kinds import EventKind, Severity
from cloud_hub.events.event import EventFilter
from cloud_hub.events.service import EventPage

router = HubRouter(prefix="/v1")

LONGEST_WAIT: Final = 25.0
"""Seconds that one request may wait; proxies on the way hang up on much longer ones."""


@router.get("/events")
async def events(
    request: Request,
    person: ViewerOfSome,
    after: Annotated[int | None, Query(ge=0, le=2**31 - 1)] = None,
    kind: Annotated[list[EventKind], Query(max_length=12)] = [],  # noqa: B006
    model: Annotated[list[str], Query(max_length=100)] = [],  # noqa: B006
    severity: Severity = "info",
    device: Annotated[str | None, Query(max_length=200)] = None,
    type: Annotated[str, Query(max_length=100)] = "",  # noqa: A002
    limit: Annotated[int, Query(ge=1, le=1_000)] = 200,
    wait: Annotated[float, Query(ge=0, le=LONGEST_WAIT, allow_inf_nan=False)] = 0.0,
) -> Document:
    """Return events in ascending order, and ``next``, to be given as ``after`` the next time.

    Args:
        request: leads to the hub.
        person: who asks; of rights on some models only, they see those.
        after: id after which they begin; without one, the newest events.
        kind: only of these kinds; may be given again.
        model: only of these models; may be given again.
        severity: the least.
        device: only those about this device.
        type: beginning of the type, such as ``edge.rollout``.
        limit: rows that are looked at, at most.
        wait: seconds to wait for an event where there is none yet.
    """
    stream = hub_of(request).events
    wanted = EventFilter(tuple(kind), tuple(model), severity, device, type)
    page = await run_in_threadpool(stream.page, wanted, after=after, limit=limit)
    if wait and not page.events:
        await stream.beyond(page.next, wait)
        page = await run_in_threadpool(stream.page, wanted, after=page.next, limit=limit)
    seen = tuple(event for event in page.events if may_see(request, event.model))
    return as_document(EventPage(seen, page.next))
