"""What a device says of itself: its status, its events, its log, whether it works."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from edge_sdk.system.logs import LogEntry, recent
from edge_sdk.system.repeater import Repeater, first_failure, first_stall

if TYPE_CHECKING:  # some bring requests and tuf
    from edge_sdk.fleet.active_releases import ActiveReleases
    from edge_sdk.fleet.connection import FleetLink
    from edge_sdk.fleet.device_models import DeviceModels
    from edge_sdk.fleet.device_watch import DeviceWatch
    from edge_sdk.fleet.local_events import LocalEvent
    from edge_sdk.model.memory import ModelMemory
    from edge_sdk.telemetry.resources import ResourceUse
    from edge_sdk.update.syncer import SyncResult

STALL_SECONDS: Final = (60.0, 86_400.0)
"""Seconds after which a round of the telemetry thread, and a sync, count as hanging; a download may
take long."""


class DeviceState:
    """Methods of :class:`edge_sdk.EdgeDevice` by which others see how it is."""

    _service: ActiveReleases
    _models: DeviceModels
    _link: FleetLink | None
    _watch: DeviceWatch
    _memory: ModelMemory
    _resources: ResourceUse
    _repeaters: Sequence[Repeater]
    _last_sync: SyncResult | None

    def status(self) -> dict[str, Any]:
        """Return the state of the device as plain values, ready for JSON.

        That of each model is in ``models``, by name; that of the device's own stands beside it.
        """
        status = {
            **self._models.status(),
            "offline": self._link is None,
            "resources": self._resources.sample(),
            "memory": self._memory.status(),
        }
        if self._link is not None:
            last = self._last_sync
            status |= self._link.status() | {"last_sync": None if last is None else vars(last)}
        return self._watch.completed(status)

    def on_event(self, callback: Callable[[LocalEvent], Any]) -> Callable[[], None]:
        """Call ``callback`` with each event from now on; return a function that ends that.

        It is called on a thread of its own with a
        :class:`~edge_sdk.fleet.local_events.LocalEvent`: a release serves, was refused or taken
        back, an update waits, something is degraded, or back. It may call any method. What
        happened before is in ``status()["events"]``.

        Raises:
            InputError: it is no function.
            StateError: another process runs the device, which has the events.
        """
        return self._watch.events.subscribe(callback)

    def logs(self, after: int = 0) -> list[LogEntry]:
        """Return the log records of this package in the process that runs the device.

        Args:
            after: number of the last record that is known.

        Returns:
            The newest thousand with a higher number, oldest first.
        """
        return recent(after)

    def stalled(self) -> str | None:
        """Return why the device's threads do not do their work any more, if so; for watchdogs."""
        return first_stall(self._repeaters, STALL_SECONDS)

    def _trouble(self) -> str | None:
        """Return what is wrong with the threads, a sentence without its end."""
        return first_failure(self._repeaters) or self.stalled()
