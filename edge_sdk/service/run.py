"""``edge run``: a device that runs until it is told to stop, and answers rows on the way."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO

from edge_sdk.errors import StateError
from edge_sdk.service.manager import ServiceManager, supervised
from edge_sdk.service.stopping import until_stopped
from edge_sdk.system.operating_system import is_null_device

if TYPE_CHECKING:
    from edge_sdk.device import EdgeDevice


def run_device(
    opened: Callable[[], EdgeDevice],
    rows: BinaryIO | None,
    answer: Callable[[EdgeDevice, bytes], None],
) -> None:
    """Run a device until its rows end, or SIGTERM comes.

    Args:
        opened: opens the device.
        rows: lines to answer; without any, or from ``/dev/null`` as services have it, the device
            runs on without.
        answer: answers one line that is not empty.

    Raises:
        EdgeError: the device cannot be opened.
    """
    with (
        until_stopped() as signals,
        opened() as device,
        supervised(device, functools.partial(described, device), ServiceManager()),
    ):
        if rows is None or is_null_device(rows.fileno()):
            signals.sleep()
        for line in signals.lines(rows):
            if line.strip():
                answer(device, line)


def described(device: EdgeDevice) -> str:
    """Return what a device serves, or why that is not known, for the service manager."""
    try:
        models = device.status()["models"]
    except StateError as error:  # another process ran it, and has ended
        return str(error)
    served = [f"{name} {m['version']}" for name, m in models.items() if m["version"] is not None]
    return f"serving {', '.join(served)}" if served else "waits for a release"
