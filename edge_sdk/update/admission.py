"""When an update may go on: maintenance windows, metered networks and the application's own word.

Pure: the time and the answers are arguments. Invariants:

* Nothing is put off for ever. A window comes within a week; a metered network and the application
  can put one release off for ``limit`` seconds in all.
* What is urgent waits for nothing: a device without a release, and the way back to a release that
  it holds already.
* A clock that is behind what the hub signed cannot tell when a window is. Such a device has none.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from edge_sdk.system.windows import DAY, HOUR, WEEK, WeeklyWindow

Step = Literal["download", "activate"]
BEHIND: Final = 86_400.0
"""Seconds by which a clock may be behind the newest signed time; the hub signs twice a day."""

ASK_AGAIN: Final = 60.0
"""Seconds after which an application that said no is asked again, unless it names another time."""


@dataclass(frozen=True)
class UpdateOffer:
    """An update that the application may put off.

    Attributes:
        model: whose update it is.
        step: what comes next: ``download``, or ``activate`` once all is here and was tried.
        version: that is to come.
        serving: that answers now.
        waited: seconds since this release was first put off.
        limit: seconds after which it goes on whatever the application says.
    """

    model: str
    step: Step
    version: str
    serving: str | None
    waited: float
    limit: float


OnUpdate = Callable[[UpdateOffer], "bool | float | None"]
"""Says whether an update may go on: True or None; False to be asked again; or after how many
seconds to be asked again."""


@dataclass(frozen=True)
class Wait:
    """Why an update waits (``window``, ``metered``, ``spread``, ``application``), and until when at
    the latest it is looked at again, in Unix seconds.
    """

    reason: str
    until: float


@dataclass(frozen=True)
class Conditions:
    """The state of the device that decides on an update.

    Attributes:
        now: Unix seconds.
        signed: newest time that the hub signed, Unix seconds; 0 if none is known.
        since: when this release was first put off, Unix seconds; ``None`` if it was not.
        metered: the network costs by the byte.
        answer: the application's word; ``None`` to go on.
        spread: seconds until it is this device's turn to download, of a fleet that learned of news
            at once.
    """

    now: float
    signed: float
    since: float | None = None
    metered: bool = False
    answer: bool | float | None = None
    spread: float = 0.0

    @property
    def counted(self) -> float:
        """The time by which waiting is counted: a clock that lost its time has not lost a week."""
        return max(self.now, self.signed)


def decide(
    windows: Sequence[WeeklyWindow],
    limit: float,
    step: Step,
    at: Conditions,
    zone: datetime.tzinfo | None = None,
) -> Wait | None:
    """Return why an update waits; ``None`` if it goes on.

    Args:
        windows: in which updates may happen; none for always.
        limit: seconds that a metered network and the application may put one release off.
        step: that comes next.
        at: state of the device.
        zone: of the windows; ``None`` for the device's own.
    """
    closed = _until_window(windows, at, zone)
    if closed:
        return Wait("window", at.now + closed)
    left = limit - (0.0 if at.since is None else max(0.0, at.counted - at.since))
    if left <= 0:
        return None
    if at.metered and step == "download":
        return Wait("metered", at.now + left)
    if at.spread > 0 and step == "download":
        return Wait("spread", at.now + min(at.spread, left))
    if at.answer is None or at.answer is True:
        return None
    seconds = ASK_AGAIN if at.answer is False else float(at.answer)
    return Wait("application", at.now + min(max(seconds, 0.0), left)) if seconds > 0 else None


def window_state(
    windows: Sequence[WeeklyWindow], now: float, zone: datetime.tzinfo | None = None
) -> dict[str, Any] | None:
    """Return whether a window is open, and until when it stays so; ``None`` without windows.

    Args:
        windows: in which updates may happen.
        now: Unix seconds.
        zone: of the windows; ``None`` for the device's own.
    """
    if not windows:
        return None
    closed = _until_window(windows, Conditions(now, 0.0), zone)
    if closed:
        return {"open": False, "until": now + closed}
    local = datetime.datetime.fromtimestamp(now, zone)
    minute, ahead = local.weekday() * DAY + local.hour * HOUR + local.minute, 0
    # Windows may touch or overlap: from the end of one it goes on where another holds.
    while ahead < WEEK and (here := [w for w in windows if w.holds((minute + ahead) % WEEK)]):
        ahead += max(w.minutes - (minute + ahead - w.start) % WEEK for w in here)
    return {"open": True, "until": now + ahead * 60.0 - local.second}


def _until_window(
    windows: Sequence[WeeklyWindow], at: Conditions, zone: datetime.tzinfo | None
) -> float:
    """Return the seconds until a window opens; 0 within one."""
    if not windows or at.now < at.signed - BEHIND:
        return 0.0
    local = datetime.datetime.fromtimestamp(at.now, zone)
    minute = local.weekday() * DAY + local.hour * HOUR + local.minute
    if any(window.holds(minute) for window in windows):
        return 0.0
    ahead = min((window.start - minute) % WEEK for window in windows)
    # A minute's seconds that are gone count; the hour may be off by one where summer time begins,
    # and the device looks again at every sync.
    seconds: float = ahead * 60.0 - local.second
    return max(1.0, seconds)
