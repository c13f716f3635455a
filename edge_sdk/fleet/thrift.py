"""What a device does less of while power or the network costs.

On a battery no shadow runs, syncs are rare and folding wakes up less often; on a metered network
syncs are rare. Answers, their counts and what is urgent stay as they are.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from edge_sdk.errors import InputError
from edge_sdk.system.logs import Log
from edge_sdk.system.power import on_battery

if TYPE_CHECKING:
    from edge_sdk.config import DeviceConfig

_log = Log(__name__)

LOOK_SECONDS: Final = 10.0
"""Between two looks at the battery and the network."""

BATTERY, METERED = "battery", "a metered network"

Told = Callable[[], bool]


class Thrift:
    """The present thrift of one device.

    Args:
        config: intervals while it is thrifty.
        clock: seconds that only go forward.
    """

    def __init__(self, config: DeviceConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._clock = clock
        self._battery: Told = on_battery
        self._metered: Told | None = None
        self._next = 0.0
        self.reasons: tuple[str, ...] = ()

    def ask(self, battery: Told | None, metered: Told | None) -> None:
        """Ask the application from now on.

        Args:
            battery: says whether the machine runs on a battery; ``None``: the system is asked.
            metered: says whether the network costs by the byte; ``None``: it does not.

        Raises:
            InputError: ``battery`` is no function.
        """
        if battery is not None and not callable(battery):
            raise InputError("opening", f"battery: expected a function, got {battery!r:.60}")
        self._battery, self._metered = battery or on_battery, metered
        self._next = 0.0

    def look(self) -> None:
        """Look again, if it is time."""
        now = self._clock()
        if now < self._next:
            return
        self._next = now + LOOK_SECONDS
        told = ((BATTERY, self._battery), (METERED, self._metered))
        self.reasons = tuple(name for name, ask in told if ask is not None and _said(name, ask))

    @property
    def on_battery(self) -> bool:
        """Return whether the machine ran on its battery at the last look."""
        return BATTERY in self.reasons

    def fold_seconds(self) -> float:
        """Return the seconds until the telemetry thread is to wake up again."""
        config = self._config
        return config.thrifty_fold_seconds if self.on_battery else config.fold_seconds

    def interval(self) -> float:
        """Return the seconds from one sync to the next as things are, without jitter."""
        seconds = self._config.sync_seconds
        return max(seconds, self._config.thrifty_sync_seconds) if self.reasons else seconds

    def sync_seconds(self, seconds: float) -> float:
        """Return the seconds until the next sync, which would be in ``seconds``."""
        if not self.reasons:
            return seconds
        import random  # not needed at start

        # Give or take a fifth, so that a fleet does not poll in step.
        return max(seconds, self._config.thrifty_sync_seconds * random.uniform(0.8, 1.2))


def _said(name: str, ask: Told) -> bool:
    try:
        return bool(ask())
    except Exception:
        _log.exception("on %s? the application's function failed; it is taken to say no", name)
        return False
