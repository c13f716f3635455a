"""What people ask of one device: its newest log lines, or to sync now.

A device is told with the answer to its next poll, or at once where it waits at the hub. Invariants:

* One question of a kind is open for a device at a time; whoever asks again is shown that one.
* A device answers once, and only what was asked: it cannot fill the hub's disk with logs.
* What was asked and answered is deleted after :data:`KEPT_SECONDS`, and when the device is
  forgotten.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Engine, RowMapping, delete, func, insert, select, update

from cloud_hub.database.audit import Audit
from cloud_hub.database.engine import transaction
from cloud_hub.errors import Conflict, TooManyRequests
from cloud_hub.fleet.tables import device_asks
from edge_sdk.contract.fleet import Ask, DeviceLog

DAY: Final = 86_400.0
OPEN_SECONDS: Final = DAY
"""A device that has not answered by then is not asked any more."""

KEPT_SECONDS: Final = 7 * DAY
KEPT_OF_DEVICE: Final = 10
"""Questions of one device that are kept, the newest."""

MOST_OPEN: Final = 1_000
"""Open questions of a whole hub: each poll looks among them."""

CLEAN_SECONDS: Final = 600.0


@dataclass(frozen=True)
class DeviceAsk:
    """One question to one device; times in Unix seconds.

    Attributes:
        id: of it.
        device: that is asked.
        kind: ``logs`` or ``sync``.
        asked_at: when.
        asked_by: who asked.
        answered_at: when it answered; ``None`` where it has not.
        allowed: its owner lets it send its log; ``None`` without an answer.
        lines: that it sent, oldest first: ``at``, ``level``, ``logger``, ``message``.
    """

    id: str
    device: str
    kind: Ask
    asked_at: float
    asked_by: str
    answered_at: float | None
    allowed: bool | None
    lines: tuple[dict[str, Any], ...]

    def state(self, now: float) -> str:
        """Return how it stands: ``open``, ``answered``, ``refused`` or ``expired``."""
        if self.answered_at is not None:
            return "answered" if self.allowed else "refused"
        return "open" if now - self.asked_at < OPEN_SECONDS else "expired"


class DeviceAsks:
    """The questions of one hub.

    Args:
        engine: of the hub's database.
        audit: where it stands who asked.

    Attributes:
        changed: called after a question was opened or closed here.
    """

    def __init__(self, engine: Engine, audit: Audit) -> None:
        self._engine = engine
        self._audit = audit
        self.changed: Callable[[], None] = lambda: None
        self._cleaned = 0.0

    def ask(self, device: str, kind: Ask, *, actor: str) -> DeviceAsk:
        """Ask a device, or return the question that is open already.

        Args:
            device: that is there.
            kind: of the question.
            actor: who asks.

        Raises:
            TooManyRequests: too many questions of this hub are open.
        """
        now, t = time.time(), device_asks.c
        with transaction(self._engine) as db:
            query = select(device_asks).where(_is_open(now))
            row = db.execute(query.where(t.device == device, t.kind == kind)).mappings().first()
            if row is not None:
                return _ask(row)
            count = select(func.count()).select_from(device_asks).where(_is_open(now))
            if db.execute(count).scalar_one() >= MOST_OPEN:
                raise TooManyRequests(
                    f"device {device}: {MOST_OPEN} devices were asked and have not answered; "
                    "wait for them",
                    60.0,
                )
            made = DeviceAsk(secrets.token_hex(8), device, kind, now, actor, None, None, ())
            db.execute(insert(device_asks).values(**{**vars(made), "lines": []}))
            self._audit.record(actor, f"ask-{kind}", None, {"device": device})
        self.changed()
        return made

    def of(self, device: str) -> list[DeviceAsk]:
        """Return the questions to a device that are kept, newest first."""
        t = device_asks.c
        query = select(device_asks).where(t.device == device, t.asked_at > _oldest(time.time()))
        query = query.order_by(t.asked_at.desc()).limit(KEPT_OF_DEVICE)
        with self._engine.connect() as db:
            return [_ask(row) for row in db.execute(query).mappings()]

    def open(self) -> dict[str, frozenset[Ask]]:
        """Return what is asked of each device, and not answered."""
        t = device_asks.c
        query = select(t.device, t.kind).where(_is_open(time.time()))
        asked: dict[str, frozenset[Ask]] = {}
        with self._engine.connect() as db:
            for row in db.execute(query):
                asked[row.device] = asked.get(row.device, frozenset()) | {row.kind}
        return asked

    def take_log(self, device: str, log: DeviceLog) -> None:
        """Take the answer of a device.

        Raises:
            Conflict: nobody asked, or it answered before.
        """
        lines = [vars(line) for line in log.lines]
        if not self._close(device, "logs", log.allowed, lines):
            raise Conflict(f"device {device}: nobody asked for its log, or it was sent already")

    def note_sync(self, device: str) -> None:
        """Note that a device synced that was asked to; nothing where it was not."""
        self._close(device, "sync", True, [])

    def tick(self, now: float) -> None:
        """Delete what is old, now and then."""
        if now - self._cleaned < CLEAN_SECONDS:
            return
        self._cleaned = now
        with transaction(self._engine) as db:
            db.execute(delete(device_asks).where(device_asks.c.asked_at <= _oldest(now)))

    def _close(self, device: str, kind: Ask, allowed: bool, lines: list[dict[str, Any]]) -> bool:
        """Answer the open question; in the same transaction old ones of the device go."""
        now, t = time.time(), device_asks.c
        with transaction(self._engine) as db:
            done = db.execute(
                update(device_asks)
                .where(_is_open(now), t.device == device, t.kind == kind)
                .values(answered_at=now, allowed=allowed, lines=lines)
            )
            newest = select(t.id).where(t.device == device).order_by(t.asked_at.desc())
            kept = list(db.execute(newest.limit(KEPT_OF_DEVICE)).scalars())
            db.execute(delete(device_asks).where(t.device == device, t.id.not_in(kept)))
        if done.rowcount:
            self.changed()
        return done.rowcount > 0


def _oldest(now: float) -> float:
    return now - KEPT_SECONDS


def _is_open(now: float) -> Any:
    t = device_asks.c
    return t.answered_at.is_(None) & (t.asked_at > now - OPEN_SECONDS)


def _ask(row: RowMapping) -> DeviceAsk:
    return DeviceAsk(**{**row, "lines": tuple(row["lines"])})
