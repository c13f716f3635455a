"""Looks after one device: what gets worse or well again becomes events; a file says how it is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from edge_sdk.fleet.local_events import ConditionWatch, LocalEvents
from edge_sdk.fleet.thrift import Thrift

if TYPE_CHECKING:
    from edge_sdk.config import DeviceConfig
    from edge_sdk.fleet.connection import FleetLink
    from edge_sdk.fleet.device_models import DeviceModels
    from edge_sdk.fleet.health_file import HealthFile
    from edge_sdk.fleet.local_events import Subject


class DeviceWatch:
    """The events and the health file of one device.

    Args:
        config: where the file is, and how often it is written.
        models: of the device.
        link: with the hub, if it has one.
        clock: Unix seconds.
        status: of the device.
        trouble: says what is wrong with its threads.
    """

    def __init__(
        self,
        config: DeviceConfig,
        models: DeviceModels,
        link: FleetLink | None,
        clock: Callable[[], float],
        status: Callable[[], Mapping[str, Any]],
        trouble: Callable[[], str | None],
    ) -> None:
        self.events = LocalEvents(clock) if link is None else link.events
        self._models = models
        self._link = link
        self._clock = clock
        self._status, self._trouble = status, trouble
        self._conditions = ConditionWatch(self.events)
        self.thrift = Thrift(config)
        self._looking = threading.Lock()
        self._file: HealthFile | None = None
        self._seen = 0
        if config.health_file:
            from edge_sdk.fleet.health_file import HealthFile  # few have one

            self._file = HealthFile(config.health_file, config.health_seconds)

    def look(self) -> None:
        """Tell what changed since the last look; write the file, if it is time."""
        # The threads that fold and sync look, and may at once: a file that two of them write is
        # torn, and an event comes twice. What one is at, the other need not do.
        if not self._looking.acquire(blocking=False):
            return
        try:
            self._look()
        finally:
            self._looking.release()

    def _look(self) -> None:
        self.thrift.look()
        for model in self._models:
            model.spare(power=self.thrift.on_battery)
        self._conditions.look(self._now())
        if (file := self._file) is not None:
            seen, self._seen = self._seen, self.events.count
            file.write(self._status, self._trouble(), news=seen != self._seen)

    def close(self, timeout: float) -> None:
        """Tell what waits, within ``timeout`` seconds."""
        self.events.close(timeout)

    def say_closed(self, timeout: float) -> None:
        """Write into the file that the device is closed, after which nothing else is written.

        Args:
            timeout: seconds to wait for a look that is under way.
        """
        file, self._file = self._file, None
        if file is None:
            return
        looked = self._looking.acquire(timeout=timeout)
        try:
            file.write(self._status, None, final=True)
        finally:
            if looked:
                self._looking.release()

    def completed(self, status: dict[str, Any]) -> dict[str, Any]:
        """Return a status with its sentences in front, the latest events, and what it spares."""
        from edge_sdk.fleet.status_words import in_words  # not needed at start

        whole = {
            **status,
            "events": [vars(event) for event in tuple(self.events.latest)],
            "events_lost": self.events.lost,
            "thrift": list(self.thrift.reasons),
        }
        return {**whole, "words": in_words(whole, self._clock())}

    def _now(self) -> dict[Subject, str]:
        """Return why each part of the device is worse than it should be."""
        now: dict[Subject, str] = {}
        for model in self._models:
            now |= {(what, model.name): why for what, why in model.conditions().items()}
        if self._link is not None:
            if away := self._link.syncer.away:
                now["hub", None] = f"the hub is away: {away}"
            if not self._link.store.on_disk:
                reason = self._link.store.health()["reason"]
                now["disk", None] = f"the disk takes nothing: {reason}"
        return now
