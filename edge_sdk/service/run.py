"""``edge run``: a device that runs until it is told to stop, and answers rows on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO

from edge_sdk.service.manager import ServiceManager, supervised
from edge_sdk.service.stopping import sleep_until_stopped, until_stopped
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
        until_stopped(),
        opened() as device,
        supervised(device, lambda: _described(device), ServiceManager()),
    ):
        if rows is None or is_null_device(rows.fileno()):
            sleep_until_stopped()
        for line in rows or ():
            if line.strip():
                answer(device, line)


def _described(device: EdgeDevice) -> str:
    versions = {name: of["version"] for name, of in device.status()["models"].items()}
    serving = [f"{name} {version}" for name, version in versions.items() if version is not None]
    return f"serving {', '.join(serving)}" if serving else "waits for a release"
