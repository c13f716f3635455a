"""Whether a hub can do its work: the checks of ``/readyz``, each kept for a moment."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from cloud_hub.observability.checks import (
    HealthCheck,
    disk_room,
    judge_clock,
    judge_disk,
    judge_engine,
    judge_handles,
    judge_keys,
    judge_loop,
    open_handles,
)
from cloud_hub.observability.store_probe import probe_store

if TYPE_CHECKING:
    from cloud_hub.hub import Hub

log = logging.getLogger(__name__)

KEPT_SECONDS: Final = 2.0
"""For so long a check is not asked again: whoever polls /readyz costs a hub nothing."""

STORE_SECONDS: Final = 60.0
"""The same of the artifact store, where it writes and reads back: a bucket may charge for it."""


class Readiness:
    """The checks of one process of a hub.

    Args:
        hub: that is checked.
        clock: seconds that only go forward.
    """

    def __init__(self, hub: Hub, clock: Callable[[], float] = time.monotonic) -> None:
        self._hub = hub
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[float, HealthCheck]] = {}
        self._told: dict[str, str] = {}

    def checks(self) -> tuple[HealthCheck, ...]:
        """Return all checks, as they are or were a moment ago.

        One caller asks at a time; the others get what was found last, however long a disk or a
        bucket takes.
        """
        if not self._lock.acquire(blocking=not self._kept):
            return tuple(check for _, check in self._kept.values())
        try:
            for name, (seconds, ask) in self._all().items():
                at, _ = self._kept.get(name, (-float("inf"), None))
                if self._clock() - at >= seconds:
                    self._kept[name] = (self._clock(), _asked(name, ask))
            return tuple(check for _, check in self._kept.values())
        finally:
            self._lock.release()

    def tick(self, now: float) -> None:
        """Tell the log what got worse, and what is well again; a part of the loop.

        Args:
            now: Unix seconds.
        """
        for check in self.checks():
            if check.name == "loop":
                continue  # tells of itself, part by part
            before = self._told.get(check.name, "ok")
            if check.state == before:
                continue
            self._told[check.name] = check.state
            if check.state == "ok":
                log.info("%s: is well again; %s", check.name, check.says)
            else:
                level = logging.ERROR if check.state == "fail" else logging.WARNING
                log.log(level, "%s: %s; %s", check.name, check.says, check.todo)

    def _all(self) -> dict[str, tuple[float, Callable[[], HealthCheck]]]:
        """The checks by name, and for how many seconds each is kept."""
        return {
            "database": (KEPT_SECONDS, self._database),
            "artifacts": (STORE_SECONDS, self._artifacts),
            "loop": (0.0, self._loop),
            "keys": (KEPT_SECONDS, lambda: judge_keys(self._hub.keys.status())),
            "clock": (KEPT_SECONDS, self._time),
            "engine": (KEPT_SECONDS, lambda: judge_engine(self._hub.heavy.problem())),
            "handles": (KEPT_SECONDS, lambda: judge_handles(*open_handles())),
            "disk": (KEPT_SECONDS, self._disk),
        }

    def _disk(self) -> HealthCheck:
        settings = self._hub.settings
        return judge_disk(*disk_room(settings.data), settings.alarms.disk_share)

    def _time(self) -> HealthCheck:
        off = self._hub.loop.leadership.status().clock_off_seconds
        return judge_clock(self._hub.keys.status().clock, off)

    def _database(self) -> HealthCheck:
        with self._hub.engine.connect() as db:
            db.execute(select(1))
        name, problem = self._hub.engine.dialect.name, self._hub.telemetry.problem()
        if problem:
            # No failure: whatever is only read goes on, and every other worker has this database.
            says = f"{name} answers, and the newest reports were not stored: {problem}"
            return HealthCheck("database", "warn", says, "make room for it, or see its log")
        return HealthCheck("database", "ok", f"{name} answers")

    def _artifacts(self) -> HealthCheck:
        # Each process its own name: of two that write one at once, one would not find it again.
        probe_store(self._hub.stores.blobs, f"probe-{os.getpid()}")
        return HealthCheck("artifacts", "ok", "can be written, read and deleted")

    def _loop(self) -> HealthCheck:
        loop = self._hub.loop
        since = time.monotonic() - loop.ticked_at
        nobody = loop.leadership.status().problem
        return judge_loop(
            loop.seconds, leads=loop.leads, since_tick=since, errors=loop.errors, nobody=nobody
        )


TODO: Final = {
    "database": "see that it runs and takes connections; edge-hub doctor DATA says more",
    "artifacts": "see that the place of artifacts can be written; edge-hub doctor DATA says more",
    "keys": "see that DATA/keys and DATA/repository can be read",
    "disk": "see that the data folder is there",
}


def _asked(name: str, ask: Callable[[], HealthCheck]) -> HealthCheck:
    """Return a check; whatever it raises is a reason to fail, and none to hide the others."""
    try:
        return ask()
    except Exception as error:
        # The driver's own sentence, without the statement; no URL, which has a password.
        reason = str(getattr(error, "orig", None) or error).partition("\n")[0]
        log.debug("check %s failed", name, exc_info=True)
        text = f"{type(error).__name__}: {reason:.300}"
        return HealthCheck(name, "fail", text, TODO.get(name, "see the log"))
