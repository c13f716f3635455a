"""When each device was last heard of: kept in memory, and written down together now and then.

Every contact counts: a poll, a report, a check-in. A write for each would be most of what a hub
does. Invariants:

* What is in memory is written every ten seconds and when the hub ends: a crash loses at most as
  much of it, and the next contact of a device makes up for that.
* Writing never takes a time back: several processes of a hub hear of one device.
* A database that does not take it costs nothing but time: what was not written stays in memory.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from sqlalchemy import Connection, Engine, text

from cloud_hub.database.engine import is_sqlite
from cloud_hub.database.flusher import Flusher

AT_ONCE: Final = 5_000
"""Devices of one statement: other writers do not wait for a whole fleet."""

_SQLITE: Final = text(
    "UPDATE devices SET seen_at = :seen WHERE device = :device AND seen_at < :seen"
)
# Rows are locked in the order in which check-ins take them; an update alone takes them in any.
_POSTGRESQL: Final = text(
    "WITH s AS (SELECT d.device, d.model, k.seen FROM "
    "unnest(CAST(:devices AS text[]), CAST(:times AS double precision[])) AS k (device, seen) "
    "JOIN devices AS d ON d.device = k.device AND d.seen_at < k.seen "
    'ORDER BY d.device COLLATE "C", d.model COLLATE "C" FOR NO KEY UPDATE OF d) '
    "UPDATE devices SET seen_at = s.seen FROM s "
    "WHERE devices.device = s.device AND devices.model = s.model AND devices.seen_at < s.seen"
)


class Sightings:
    """The newest sighting of each device, as one process has it. Safe from several threads.

    Args:
        engine: of the hub's database.
        clock: Unix seconds.

    Attributes:
        flusher: writes every ten seconds, once it is started.
    """

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._clock = clock
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._seen: dict[str, float] = {}
        self._leaving: Mapping[str, float] = {}
        self.flusher = Flusher("hub-sightings", "when devices were last heard of", self.flush)

    def note(self, device: str) -> None:
        """Note that a device was heard of, now."""
        now = self._clock()
        with self._lock:
            self._seen[device] = now

    def newest(self, device: str, stored: float) -> float:
        """Return when a device was last heard of.

        Args:
            device: its name.
            stored: what the database says, Unix seconds.
        """
        with self._lock:
            here = self._seen.get(device, 0.0)
            return max(stored, here, self._leaving.get(device, 0.0))

    def flush(self) -> int:
        """Write down what is in memory; return of how many devices.

        Raises:
            SQLAlchemyError: the database does not take it; it is kept for the next time.
        """
        with self._flushing:
            with self._lock:
                self._leaving, self._seen = self._seen, {}
            # In one order in every process: two that write the same devices wait, and never for
            # each other.
            rows = sorted(self._leaving.items())
            try:
                for first in range(0, len(rows), AT_ONCE):
                    with self._engine.begin() as db:
                        _write(db, rows[first : first + AT_ONCE])
            except BaseException:
                with self._lock:
                    self._seen = {**self._leaving, **self._seen}
                    self._leaving = {}
                raise
            with self._lock:
                self._leaving = {}
            return len(rows)

    def forget(self, device: str) -> None:
        """Forget a device that is to be deleted."""
        with self._flushing, self._lock:
            self._seen.pop(device, None)


def _write(db: Connection, rows: Sequence[tuple[str, float]]) -> None:
    if is_sqlite(db.engine):
        db.execute(_SQLITE, [{"device": device, "seen": seen} for device, seen in rows])
        return
    devices, times = zip(*rows, strict=True)
    db.execute(_POSTGRESQL, {"devices": list(devices), "times": list(times)})
