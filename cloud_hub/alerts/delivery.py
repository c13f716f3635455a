"""Delivery of events to one destination: in their order, each at least once.

Where a destination is, its cursor, moves in the transaction that remembers the try, after the
receiver took the event: a hub that is killed in between sends it again, under the same
``webhook-id``, and none is lost. Only the leader delivers, and writes within its fence.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from cloud_hub.alerts import webhook
from cloud_hub.alerts.addresses import Network
from cloud_hub.alerts.envelope import cloud_event, text_of, title_of
from cloud_hub.alerts.notifying import notify
from cloud_hub.alerts.rules import (
    GIVE_UP_SECONDS,
    DestinationProgress,
    Turn,
    next_try,
    to_send,
    turn,
)
from cloud_hub.alerts.store import DeliveryRecord, Destination, DestinationStore, succeeded
from cloud_hub.alerts.webhook import TryOutcome
from cloud_hub.database.event_kinds import SEVERITIES
from cloud_hub.events.event import StreamEvent
from cloud_hub.events.service import EventStream

AT_ONCE: Final = 100
"""Events that are read at once, and that one message to people is about at most."""

ROUNDS: Final = 5
"""Reads in one go; then others have their turn."""


class Courier:
    """Delivers to destinations, whoever they are.

    Args:
        store: of destinations.
        stream: of events.
        source: the hub as a URI.
        allowed: networks that are not public, and may be asked.
        clock: Unix seconds.
    """

    def __init__(
        self,
        store: DestinationStore,
        stream: EventStream,
        source: str,
        allowed: Sequence[Network],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._stream = stream
        self._source = source
        self._allowed = allowed
        self._clock = clock

    def deliver(self, name: str) -> None:
        """Send a destination what waits for it, until it fails or all is sent.

        Args:
            name: of the destination.
        """
        for _ in range(ROUNDS):
            destination = self._store.get(name)
            what = turn(destination.rules, destination.progress, self._clock())
            if what == "rest" or not self._round(destination, what):
                return

    def send(self, destination: Destination, events: Sequence[StreamEvent]) -> TryOutcome:
        """Send events in one request, and change nothing.

        Args:
            destination: that gets them.
            events: one for a webhook, at least one for people.
        """
        if destination.kind == "webhook":
            event, now = events[0], self._clock()
            body = cloud_event(event, self._source)
            # With the source: a receiver of several hubs tells their events apart by it.
            name = f"evt_{self._source.rpartition(':')[2]}_{event.id}"
            headers = webhook.signed_headers(name, now, body, destination.signing(now))
            return webhook.post(destination.url, body, headers, self._allowed)
        worst = max((event.severity for event in events), key=SEVERITIES.index)
        return notify(destination.url, title_of(events), text_of(events), worst, self._allowed)

    def _round(self, destination: Destination, what: Turn) -> bool:
        """Send a page; return whether there may be another one."""
        progress, urgent = destination.progress, what == "urgent"
        begin = max(progress.cursor, progress.urgent) if urgent else progress.cursor
        page = self._stream.page(
            destination.rules.wanted(urgent=urgent), after=begin, limit=AT_ONCE
        )
        events = to_send(page.events, progress, what)
        batches = [[event] for event in events]
        if destination.kind != "webhook" and events:
            batches = [list(events)]
        for batch in batches:
            destination, delivered = self._try(destination, batch, urgent=urgent)
            if not delivered:
                return False
        end = _moved(destination.progress, page.next, urgent=urgent)
        if end != destination.progress:
            self._store.advance(destination, end)
        return page.next > begin and bool(page.events)

    def _try(
        self, destination: Destination, batch: list[StreamEvent], *, urgent: bool
    ) -> tuple[Destination, bool]:
        begun, last = time.monotonic(), batch[-1].id
        outcome, now = self.send(destination, batch), self._clock()
        before = destination.progress
        tried = DeliveryRecord(
            0, destination.name, now, last, len(batch), before.attempts + 1,
            time.monotonic() - begun, outcome.delivered, outcome.status, outcome.reason[:300],
        )  # fmt: skip
        if outcome.delivered:
            after = succeeded(_moved(before, last, urgent=urgent), now)
        else:
            after = failed(before, outcome, now, random.random())
        self._store.advance(destination, after, tried)
        return replace(destination, progress=after), outcome.delivered


def failed(
    before: DestinationProgress, outcome: TryOutcome, now: float, chance: float
) -> DestinationProgress:
    """Return the progress after a failure.

    Args:
        before: it.
        outcome: of the try.
        now: Unix seconds.
        chance: from 0 to 1.
    """
    attempts, since = before.attempts + 1, before.failing_since or now
    disabled = None
    if outcome.gone:
        disabled = "the receiver answered 410: it wants nothing any more"
    elif now - since >= GIVE_UP_SECONDS:
        disabled = f"it failed for {(now - since) / 86_400:.0f} days: {outcome.reason}"[:300]
    wait = next_try(attempts, outcome.retry_after, chance)
    return replace(
        before, attempts=attempts, failing_since=since, try_at=now + wait, disabled=disabled
    )


def _moved(progress: DestinationProgress, to: int, *, urgent: bool) -> DestinationProgress:
    if urgent:
        return replace(progress, urgent=max(progress.urgent, to))
    return replace(progress, cursor=max(progress.cursor, to))
