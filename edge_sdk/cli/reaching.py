"""The device of a state folder, for the commands: opened here, or where another process runs it."""

from __future__ import annotations

import argparse
import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from edge_sdk.device import EdgeDevice

IN_TURN_SECONDS: Final = 10.0
"""Seconds for which a look at a device waits while another process opens it or looks at it."""


def add_state(command: argparse.ArgumentParser) -> None:
    """Add the arguments that name an enrolled device."""
    command.add_argument("state", type=Path, help="the device's state folder")
    command.add_argument("--hub", metavar="URL", help="of the hub (default: the one of last time)")


def enrolled(arguments: argparse.Namespace, **more: Any) -> EdgeDevice:
    """Return the device of a state folder that is there; a look must not make one.

    Args:
        arguments: of the command.
        **more: keywords of :class:`edge_sdk.EdgeDevice`.

    Raises:
        StateError: no device is enrolled there, or it is in use.
    """
    from edge_sdk.device import EdgeDevice
    from edge_sdk.errors import StateError

    copies = ("device.db", "device.copy.json", "identity.json")  # one of them is enough
    if not any((arguments.state / name).exists() for name in copies):
        raise StateError(
            f"{arguments.state}: no device is enrolled here; begin with edge enrol "
            f"{arguments.state} --hub {arguments.hub or 'URL'} --token T --model M"
        )
    return EdgeDevice(arguments.state, hub=arguments.hub or _last_hub(arguments.state), **more)


def _last_hub(state: Path) -> str:
    from edge_sdk.errors import StateError
    from edge_sdk.fleet.enrolment import hub_of
    from edge_sdk.state_db import StateDatabase

    with contextlib.closing(StateDatabase(state)) as store:
        hub = hub_of(store)
    if hub is None:
        raise StateError(f"{state}: does not say which hub; say --hub URL")
    return hub


def reached(arguments: argparse.Namespace) -> EdgeDevice:
    """Return the device where another process runs it, else opened here."""
    from edge_sdk.device import EdgeDevice
    from edge_sdk.errors import DeviceInUse, StateError

    until = time.monotonic() + IN_TURN_SECONDS
    while True:
        with contextlib.suppress(StateError):
            return EdgeDevice.attach(arguments.state)
        try:
            return enrolled(arguments, background=False)
        except DeviceInUse:  # somebody else who looks, perhaps, or an application that starts
            if time.monotonic() > until:
                raise
        time.sleep(0.05)
