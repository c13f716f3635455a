"""Looks after one device: what gets worse or well again becomes events; a file says how it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from edge_sdk.fleet.local_events import ConditionWatch, LocalEvents
from edge_sdk.fleet.thrift import Thrift
from edge_sdk.system.logs import Log

if TYPE_CHECKING:
    from edge_sdk.config import DeviceConfig
    from edge_sdk.fleet.active_releases import ActiveReleases
    from edge_sdk.fleet.connection import FleetLink
    from edge_sdk.fleet.health_file import HealthFile
    from edge_sdk.system.repeater import Repeater

_log = Log(__name__)


class DeviceWatch:
    """The events and the health file of one device.

    Args:
        config: where the file is, and how often it is written.
        service: what answers.
        link: with the hub, if it has one.
        status: of the device.
    """

    def __init__(
        self,
        config: DeviceConfig,
        service: ActiveReleases,
        link: FleetLink | None,
        status: Callable[[], Mapping[str, Any]],
    ) -> None:
        self.events = LocalEvents(service.clock) if link is None else link.events
        self._service = service
        self._link = link
        self._status = status
        self._conditions = ConditionWatch(self.events)
        self.thrift = Thrift(config)
        self._file: HealthFile | None = None
        if config.health_file:
            from edge_sdk.fleet.health_file import HealthFile  # few have one

            self._file = HealthFile(config.health_file, config.health_seconds)
        self._served = False

    def look(self, threads: Iterable[Repeater] = ()) -> None:
        """Tell what changed since the last look; write the file, if it is time."""
        if self._link is None:  # else the rollout has them brought again
            for _, what in self._service.new_damage():
                _log.warning("damaged on the disk: %s", what)
        self.thrift.look()
        if (running := self._service.running) is not None:
            running.pause(paused=self.thrift.on_battery)
        self._conditions.look(self._now())
        if self._file is None:
            return
        failed = next((t for t in threads if t.error is not None), None)
        trouble = None if failed is None else f"{failed.name} fails: {failed.error}"
        self._file.write(self._status, trouble)

    def close(self, timeout: float) -> None:
        """Tell what waits, within ``timeout`` seconds."""
        self.events.close(timeout)

    def say_closed(self) -> None:
        """Write into the file that the device is closed."""
        if self._file is not None:
            self._file.write(self._status, None, final=True)

    def completed(self, status: dict[str, Any]) -> dict[str, Any]:
        """Return a status with its sentences in front, the latest events, and what it spares."""
        from edge_sdk.fleet.status_words import in_words  # not needed at start

        whole = {
            **status,
            "events": [vars(event) for event in tuple(self.events.latest)],
            "events_lost": self.events.lost,
            "thrift": list(self.thrift.reasons),
        }
        return {"words": in_words(whole, self._service.clock()), **whole}

    def _now(self) -> dict[str, str]:
        """Return why each part of the device is worse than it should be."""
        now = {}
        self._served = self._served or self._service.serving is not None
        if self._served and self._service.serving is None:
            now["serving"] = "nothing serves"
        if damage := self._service.damage():
            files = [what for each in damage.values() for what in each.values()]
            now["files"] = f"damaged on the disk: {'; '.join(files)}"
        if self._link is not None:
            if away := self._link.syncer.away:
                now["hub"] = f"the hub is away: {away}"
            if not self._link.store.on_disk:
                now["disk"] = f"the disk takes nothing: {self._link.store.health()['reason']}"
        return now
