"""A small file that says how a device is, for supervisors and for who looks while an app runs it.

It is replaced whole, every few seconds, by the thread that folds: that it is fresh says that the
thread lives. It is not synced to the disk: after a power cut it is old, which it says itself.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edge_sdk.errors import EdgeError, StateError, reason_of
from edge_sdk.system.logs import Log

_log = Log(__name__)

MISSED: Final = 3
"""Writings that may be missing before the file is called old."""

LARGEST: Final = 1 << 20
"""Bytes that are read at most."""


@dataclass(frozen=True)
class HealthReport:
    """What a health file says.

    Attributes:
        ok: a release of each model answers, and the threads of the device work.
        at: when it was written, Unix seconds.
        fresh_until: when the next one should be here at the latest, Unix seconds.
        pid: of the process.
        words: how the device is, in sentences.
        status: as :meth:`edge_sdk.EdgeDevice.status` gives it.
    """

    ok: bool
    at: float
    fresh_until: float
    pid: int
    words: tuple[str, ...]
    status: Mapping[str, Any]


class HealthFile:
    """Writer of the file of one device.

    Args:
        path: of the file.
        seconds: between two writings.
        clock: Unix seconds.
    """

    def __init__(self, path: str, seconds: float, clock: Callable[[], float] = time.time) -> None:
        self._path = Path(path)
        self._seconds = seconds
        self._clock = clock
        self._next = 0.0
        self._failed = False

    def write(
        self, status: Callable[[], Mapping[str, Any]], trouble: str | None, *,
        news: bool = False, final: bool = False,
    ) -> None:  # fmt: skip
        """Write it, if it is time; a disk that takes nothing is logged once, and no error.

        Args:
            status: gives the status.
            trouble: of a thread, if there is any.
            news: something has changed: write now.
            final: the device is closed: write now, and say so.
        """
        due = time.monotonic()
        if due < self._next and not (news or final):
            return
        self._next = due + self._seconds
        try:
            plain = dict(status())
        except EdgeError as error:  # the state cannot be read: that is what it should say
            plain, trouble = {}, str(error)
        try:
            self._replace(self._path, self._content(plain, trouble, final=final))
        except (OSError, ValueError) as error:  # ValueError: of a path without a name, such as "/"
            if not self._failed:
                _log.warning("health file %s: %s", self._path, reason_of(error))
            self._failed = True
        else:
            self._failed = False

    def _content(self, status: dict[str, Any], trouble: str | None, *, final: bool) -> bytes:
        now = self._clock()
        words = list(status.pop("words", ()))
        if trouble is not None:
            words.insert(0, f"{trouble}.")
        if final:
            words.insert(0, "The device is closed.")
        plain = {
            "ok": trouble is None and not final and _all_serve(status),
            "at": now,
            "fresh_until": now if final else now + MISSED * self._seconds,
            "pid": os.getpid(),
            "words": words,
            "status": status,
        }
        return json.dumps(plain, indent=1, default=str).encode() + b"\n"

    def _replace(self, path: Path, content: bytes) -> None:
        # No fsync: a supervisor reads it in the same boot, and flash wears out by syncs.
        part = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            part.write_bytes(content)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def _all_serve(status: Mapping[str, Any]) -> bool:
    models = status.get("models", {}).values()
    return bool(models) and all(model["version"] is not None for model in models)


def read_health(path: str | Path) -> HealthReport:
    """Return what a health file says.

    Raises:
        StateError: there is none, or it is no health file.
    """
    try:
        with Path(path).open("rb") as file:
            raw = file.read(LARGEST + 1)
        plain: Any = json.loads(raw) if len(raw) <= LARGEST else None
        words = tuple(map(str, plain["words"]))
        at, until = float(plain["at"]), float(plain["fresh_until"])
        return HealthReport(
            plain["ok"] is True, at, until, int(plain["pid"]), words, plain["status"]
        )
    except OSError as error:
        raise StateError(f"{path}: {reason_of(error)}") from error
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
        raise StateError(f"{path}: expected the health file of a device") from error


def verdict(health: HealthReport, now: float) -> str | None:
    """Return why a supervisor should act, a sentence; ``None`` if all is well.

    Args:
        health: as it was read.
        now: Unix seconds.
    """
    if now > health.fresh_until:
        return f"not written since {now - health.at:.0f} s: {' '.join(health.words)}"
    return None if health.ok else " ".join(health.words)
