"""Destinations of alerts, and their delivery by the leader of the hub's workers.

The loop only looks who is due; what is sent is sent by threads, so that a receiver that hangs
holds up neither the loop nor another receiver.
"""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from cloud_hub.alarms.conditions import FailingDestination
from cloud_hub.alerts.addresses import Network
from cloud_hub.alerts.delivery import Courier
from cloud_hub.alerts.notifying import checked_notification
from cloud_hub.alerts.rules import AlertRules, DestinationProgress, turn
from cloud_hub.alerts.store import DeliveryRecord, Destination, DestinationStore
from cloud_hub.alerts.webhook import TryOutcome, checked_webhook, new_secret
from cloud_hub.database.engine import transaction
from cloud_hub.errors import Conflict, Invalid, LeadershipLost, NotFound
from cloud_hub.events.event import StreamEvent
from cloud_hub.events.service import EventStream
from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.names import check_name

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from cloud_hub.database.audit import Audit

log = logging.getLogger(__name__)

SENDERS: Final = 4
"""Threads that send."""

MOST: Final = 100
"""Destinations of a hub."""

ROTATION_SECONDS: Final = 86_400.0
"""For so long a secret that was replaced signs too, so that its receiver can change over."""

LONGEST_SILENCE: Final = 30 * 86_400.0
CLEAN_SECONDS: Final = 3_600.0


@dataclass(frozen=True)
class DestinationStatus:
    """A destination as people see it: the URL without what may be secret in it.

    Attributes:
        name: of it.
        kind: ``webhook`` or ``apprise``.
        url: its beginning.
        rules: what it wants.
        made_at: Unix seconds.
        made_by: who made it.
        progress: how far it is.
        waiting: events between its cursor and the newest; not all are wanted.
    """

    name: str
    kind: str
    url: str
    rules: AlertRules
    made_at: float
    made_by: str
    progress: DestinationProgress
    waiting: int


class Alerts:
    """Alerts of a hub.

    Args:
        engine: of its database.
        audit: where changes are noted.
        stream: of events.
        source: the hub as a URI, ``urn:edge-hub:…``.
        allowed: networks that are not public, and may be asked.
    """

    def __init__(
        self,
        engine: Engine,
        audit: Audit,
        stream: EventStream,
        source: str,
        allowed: Sequence[Network] = (),
    ) -> None:
        self._engine = engine
        self._audit = audit
        self._stream = stream
        self.store = DestinationStore(engine)
        self._courier = Courier(self.store, stream, source, allowed)
        self._senders: ThreadPoolExecutor | None = None
        self._busy: set[str] = set()
        self._lock = threading.Lock()
        self._cleaned = 0.0

    def tick(self, now: float) -> None:
        """Have what waits sent; a part of the loop.

        Args:
            now: Unix seconds.
        """
        every = self.store.all()
        newest = self._stream.newest() if every else 0
        for each in every:
            what, progress = turn(each.rules, each.progress, now), each.progress
            ahead = progress.urgent if what == "urgent" else 0
            if what != "rest" and max(progress.cursor, ahead) < newest:
                self._hand_over(each.name)
        if every and not 0 <= now - self._cleaned < CLEAN_SECONDS:
            self._cleaned = now
            self.store.clean([each.name for each in every])

    def _hand_over(self, name: str) -> None:
        with self._lock:
            if name in self._busy:
                return
            self._busy.add(name)
        if self._senders is None:  # not before: the supervisor forks
            self._senders = ThreadPoolExecutor(SENDERS, "hub-alerts")
        # In a copy of the context, so that the leader's fence holds there too.
        self._senders.submit(contextvars.copy_context().run, self._deliver, name)

    def _deliver(self, name: str) -> None:
        try:
            self._courier.deliver(name)
        except (LeadershipLost, NotFound) as error:
            log.info("alerts to %s: %s", name, error)
        except Exception:
            log.exception("alerts to %s could not be delivered", name)
        finally:
            with self._lock:
                self._busy.discard(name)

    def close(self) -> None:
        """End; what is under way is sent again by whoever leads next."""
        if self._senders is not None:
            self._senders.shutdown(wait=False, cancel_futures=True)

    def add(self, name: str, kind: str, url: str, rules: AlertRules, *, actor: str) -> str | None:
        """Add a destination; it is told what happens from now on.

        Args:
            name: of it.
            kind: ``webhook`` or ``apprise``.
            url: of the receiver.
            rules: what it wants.
            actor: who adds it.

        Returns:
            The secret that signs its webhooks, shown only here; ``None`` for people's.

        Raises:
            Invalid: the name, the URL or the rules make no sense.
            Conflict: the name is taken, or there are too many.
            HubFault: Apprise is not installed.
        """
        try:
            check_name("name", name)
        except ContractError as error:
            raise Invalid(str(error)) from error
        _check(kind, url, rules)
        if len(self.store.all()) >= MOST:
            raise Conflict(f"alerts: a hub has at most {MOST} destinations")
        secret = new_secret() if kind == "webhook" else None
        secrets = ((secret, None),) if secret is not None else ()
        progress = DestinationProgress(self._stream.newest())
        made = Destination(name, kind, url, secrets, rules, time.time(), actor, progress)
        with transaction(self._engine):
            self.store.add(made)
            self._note(actor, "added", made)
        return secret

    def change(self, name: str, rules: AlertRules, *, actor: str) -> None:
        """Change what a destination wants, from now on.

        Args:
            name: of it.
            rules: new ones, whole.
            actor: who changes them.
        """
        before = self.store.get(name)
        _check(before.kind, before.url, rules)
        with transaction(self._engine):
            self.store.change(name, rules=asdict(rules))
            self._note(actor, "changed", replace(before, rules=rules))

    def remove(self, name: str, *, actor: str) -> None:
        """Remove a destination."""
        before = self.store.get(name)
        with transaction(self._engine):
            self.store.remove(name)
            self._note(actor, "removed", before)

    def rotate(self, name: str, *, actor: str) -> str:
        """Return a new secret of a webhook; the one before signs for another day.

        Args:
            name: of the destination.
            actor: who wants it.

        Raises:
            Conflict: the destination is no webhook.
        """
        before, now = self.store.get(name), time.time()
        if before.kind != "webhook":
            raise Conflict(f"{name}: is no webhook, so nothing is signed")
        secret = new_secret()
        old = [(before.signing(now)[0], now + ROTATION_SECONDS)]
        with transaction(self._engine):
            self.store.change(name, secrets=[(secret, None), *old])
            self._note(actor, "secret replaced", before)
        return secret

    def silence(self, name: str, seconds: float, *, actor: str, reason: str) -> None:
        """Send nothing for a while; what happens meanwhile is sent afterwards.

        Args:
            name: of the destination.
            seconds: from now; 0 ends a silence.
            actor: who wants it.
            reason: why, for people.
        """
        if not 0 <= seconds <= LONGEST_SILENCE:
            raise Invalid("silence: expected 0 to 30 days")
        before = self.store.get(name)
        until = time.time() + seconds if seconds else 0.0
        with transaction(self._engine):
            self.store.change(name, silent_until=until)
            self._note(actor, "silenced", before, until=until, reason=reason)

    def resume(self, name: str, *, actor: str, skip: bool = False) -> None:
        """Try again at once, also a destination that was switched off.

        Args:
            name: of the destination.
            actor: who wants it.
            skip: leave out what waits, and begin with what happens from now on.
        """
        before = self.store.get(name)
        again = {"disabled": None, "attempts": 0, "try_at": 0.0, "failing_since": None}
        newest = self._stream.newest()
        moved = {"cursor": newest, "urgent": newest} if skip else {}
        with transaction(self._engine):
            self.store.change(name, **again, silent_until=0.0, **moved)
            self._note(actor, "resumed", before, skipped=skip)

    def test(self, name: str, *, actor: str) -> TryOutcome:
        """Send a made-up event now, whatever the rules say, and return what became of it."""
        now = time.time()
        # 0 is the id of no event.
        event = StreamEvent(
            0, now, "hub", "edge.hub.test", "info", None, None, None, actor, "test",
            {"reason": "a test of this destination: nothing happened"},
        )  # fmt: skip
        return self._courier.send(self.store.get(name), [event])

    def status(self) -> list[DestinationStatus]:
        """Return all destinations, by name."""
        newest = self._stream.newest()
        return [
            DestinationStatus(
                each.name, each.kind, shown_url(each), each.rules, each.made_at, each.made_by,
                each.progress, max(0, newest - each.progress.cursor),
            )
            for each in self.store.all()
        ]  # fmt: skip

    def failing(self) -> list[FailingDestination]:
        """Return the destinations that fail or were switched off, with the reason."""
        found = []
        for each in self.store.all():
            since, disabled = each.progress.failing_since, each.progress.disabled
            if since is not None or disabled is not None:
                last = self.store.tried(each.name, 1)
                reason = disabled or (last[-1].reason if last else "unknown")
                failing = FailingDestination(
                    each.name, since or each.made_at, reason, disabled is not None
                )
                found.append(failing)
        return found

    def deliveries(self, name: str, limit: int) -> list[DeliveryRecord]:
        """Return the newest tries of a destination, oldest first; raises NotFound."""
        self.store.get(name)
        return self.store.tried(name, limit)

    def _note(self, actor: str, done: str, of: Destination, **more: Any) -> None:
        detail = {"destination": of.name, "to": shown_url(of), "rules": asdict(of.rules), **more}
        self._audit.record(actor, f"alerts {done}", None, detail)


def shown_url(destination: Destination) -> str:
    """Return a URL without what may be a secret in it."""
    parts = urlsplit(destination.url)
    if destination.kind == "webhook":
        return f"{parts.scheme}://{parts.netloc}/…"
    return f"{parts.scheme}://…"


def _check(kind: str, url: str, rules: AlertRules) -> None:
    if kind == "webhook":
        checked_webhook(url)
        if rules.digest_seconds:
            raise Invalid("digest: a webhook gets each event by itself; digests are for people")
    elif kind == "apprise":
        checked_notification(url)
    else:
        raise Invalid("kind: expected webhook or apprise")
