"""Word to the service manager: ready, well, stopping. systemd's protocol (sd_notify(3)).

Where nobody listens (``NOTIFY_SOCKET`` is not set) nothing is sent.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Protocol

from edge_sdk.system.logs import Log
from edge_sdk.system.repeater import Repeater

_log = Log(__name__)

SEND_SECONDS: Final = 1.0
"""Seconds that a message waits for a manager that has not read those before it."""


class SupervisedDevice(Protocol):
    """What a service manager wants to know of a device."""

    def stalled(self) -> str | None:
        """Return why the device does not do its work any more, if so."""


class ServiceManager:
    """The service manager that started this process, if one did.

    Attributes:
        watchdog: seconds within which it wants to hear that the process is well; ``None`` if never.

    Args:
        environment: variables of the process.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        microseconds = environment.get("WATCHDOG_USEC", "")
        ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        watched = bool(self._address) and ours and microseconds.isdecimal()
        self.watchdog = int(microseconds) / 1e6 or None if watched else None

    def tell(self, *facts: str) -> None:
        """Send facts such as ``READY=1``; trouble is only logged."""
        if not self._address or not hasattr(socket, "AF_UNIX"):
            return
        # "@" stands for the NUL of Linux's abstract names.
        name = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to_manager:
                to_manager.settimeout(SEND_SECONDS)  # its queue is short
                to_manager.sendto("\n".join(facts).encode(), name)
        except OSError as error:
            _log.warning("the service manager cannot be told %s; %s", facts[0], error)


@contextlib.contextmanager
def supervised(
    device: SupervisedDevice, describe: Callable[[], str], manager: ServiceManager
) -> Iterator[None]:
    """Tell the manager that the device is ready, then again and again that it is well, and at the
    end that it stops.

    Where a thread of the device has died or stands still, the manager hears nothing more, and
    starts the process again.
    """
    manager.tell("READY=1", f"STATUS={describe()}")
    watchdog = None
    if manager.watchdog is not None:
        wait = manager.watchdog / 2
        watchdog = Repeater("edge-watchdog", lambda: _well(device, describe, manager, wait))
        watchdog.start()
    try:
        yield
    finally:
        manager.tell("STOPPING=1", "STATUS=closing")
        if watchdog is not None:
            watchdog.stop(timeout=1.0)


def _well(
    device: SupervisedDevice, describe: Callable[[], str], manager: ServiceManager, wait: float
) -> float:
    stalled = device.stalled()
    if stalled is None:
        manager.tell("WATCHDOG=1", f"STATUS={describe()}")
    else:
        _log.warning("the watchdog is not told that all is well: %s", stalled)
        manager.tell(f"STATUS={stalled}")
    return wait
