"""Messages that wait for the hub: at-least-once delivery that survives power loss.

Invariants:

* A message is named by (boot, sequence) before it is stored and keeps that name for every delivery,
  so the hub can count it once.
* Order is kept. When the box is full the oldest go, and how many went is counted and reported.
* A message that the disk has damaged is not sent: its checksum says so, and it is counted as lost.
"""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from edge_sdk.contract.codec import encode
from edge_sdk.contract.limits import MESSAGE_BYTES, UPLOAD_BYTES, UPLOAD_MESSAGES
from edge_sdk.contract.messages import Body, Message, Rejection, Upload, UploadReply, kind_of
from edge_sdk.errors import ContractError
from edge_sdk.system.logs import Log

if TYPE_CHECKING:
    from edge_sdk.state_db import StateDatabase

_log = Log(__name__)

_ENVELOPE_BYTES: Final = 200
"""More than what boot, sequence and kind add to a body."""

MEMORY_BYTES: Final = 4 << 20
"""Bodies that wait at most while the disk takes nothing and they are held in memory."""


class Outbox:
    """The box of one process start.

    Args:
        store: where it is kept.
        boot: random name of this start; sequences begin at 1 within it.
        capacity: bytes of bodies that wait at most.
        told: called with each message that is put in.
    """

    def __init__(
        self,
        store: StateDatabase,
        boot: str,
        capacity: int = 64 << 20,
        told: Callable[[Body], None] = lambda body: None,
    ) -> None:
        self._store = store
        self._boot = boot
        self._capacity = capacity
        self._sequence = 0
        self._told = told

    def put(self, bodies: Iterable[Body]) -> None:
        """Store messages; when it returns they survive a power cut.

        A body that no hub would take is counted as lost and not kept.
        """
        with self._store.transaction() as db:  # its lock also guards the sequence
            for body in bodies:
                try:
                    raw = encode(body)
                except ContractError:
                    self._count_lost("unreadable", 1)
                    continue
                if len(raw) > MESSAGE_BYTES:
                    self._count_lost("oversized", 1)
                    continue
                self._sequence += 1
                message = (self._boot, self._sequence, kind_of(body), raw.decode())
                db.execute(
                    "INSERT INTO outbox (boot, sequence, kind, body, bytes, crc)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    (*message, len(raw), _crc(*message)),
                )
                self._told(body)
            self._make_room()

    def _make_room(self) -> None:
        with self._store.transaction() as db:
            (waiting,) = db.execute("SELECT coalesce(sum(bytes), 0) FROM outbox").fetchone()
            dropped = 0
            on_disk = self._store.on_disk
            capacity = self._capacity if on_disk else min(self._capacity, MEMORY_BYTES)
            while waiting > capacity:
                id_, size = db.execute(
                    "SELECT id, bytes FROM outbox ORDER BY id LIMIT 1"
                ).fetchone()
                db.execute("DELETE FROM outbox WHERE id = ?", (id_,))
                waiting -= size
                dropped += 1
            if dropped:
                self._count_lost("outbox", dropped)

    def waiting(self) -> int:
        """Return the number of messages that wait."""
        return int(self._store.query("SELECT count(*) FROM outbox")[0][0])

    def batch(self, most: int = UPLOAD_MESSAGES) -> Upload | None:
        """Return the oldest messages that fit into one upload, at most ``most``, or ``None``."""
        rows = self._store.query(
            "SELECT id, boot, sequence, kind, body, bytes, crc FROM outbox ORDER BY id LIMIT ?",
            most,
        )
        messages: list[Message] = []
        damaged: list[tuple[int]] = []
        size = 0
        for id_, boot, sequence, kind, body, length, crc in rows:
            size += length + _ENVELOPE_BYTES
            if messages and size > UPLOAD_BYTES:  # one alone always fits: put() refuses larger ones
                break
            try:
                if crc not in (None, _crc(boot, sequence, kind, body)):
                    raise ValueError("its checksum differs")
                messages.append(Message(boot, sequence, kind, json.loads(body)))
            except (ValueError, TypeError, ContractError):
                damaged.append((id_,))
        if damaged:
            with self._store.transaction() as db:
                db.executemany("DELETE FROM outbox WHERE id = ?", damaged)
                self._count_lost("damaged", len(damaged))
            if not messages:
                return self.batch()
        return Upload(tuple(messages)) if messages else None

    def settle(self, upload: Upload, reply: UploadReply) -> None:
        """Forget what the hub has, or will never take; the latter is counted as lost.

        Raises:
            ContractError: the reply does not account for every message; nothing is forgotten.
        """
        answered = reply.accepted + reply.duplicates + len(reply.rejected)
        if answered != len(upload.messages):
            raise ContractError(
                f"UploadReply: expected {len(upload.messages)} messages accounted for, "
                f"got {answered}"
            )
        with self._store.transaction() as db:
            db.executemany(
                "DELETE FROM outbox WHERE boot = ? AND sequence = ?",
                [(message.boot, message.sequence) for message in upload.messages],
            )
            if reply.rejected:
                self._count_lost("rejected", len(reply.rejected))
                self._store.put("last_rejection", reply.rejected[-1].reason)

    def drop(self, upload: Upload, reason: str) -> None:
        """Forget messages that the hub refuses to read, and count them as lost."""
        names = ((message.boot, message.sequence) for message in upload.messages)
        rejected = tuple(Rejection(boot, sequence, reason) for boot, sequence in names)
        self.settle(upload, UploadReply(0, 0, rejected))

    def take_lost(self) -> Counter[str]:
        """Return the messages lost since the last call, by reason, for the next window report."""
        with self._store.transaction():
            lost = Counter(self._store.get("lost") or {})
            if lost:
                self._store.put("lost", {})
        return lost

    def _count_lost(self, reason: str, count: int) -> None:
        # Not why the hub rejected one: that may quote a shared row.
        _log.warning("%d messages for the hub are lost: %s", count, reason)
        with self._store.transaction():
            lost = Counter(self._store.get("lost") or {})
            lost[reason] += count
            self._store.put("lost", lost)


def _crc(boot: str, sequence: int, kind: str, body: str) -> int:
    return zlib.crc32(f"{boot} {sequence} {kind} {body}".encode())
