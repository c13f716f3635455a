"""The device of a state folder, for the commands: opened here, or where another process runs it."""

from __future__ import annotations

import argparse
import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from edge_sdk.device import EdgeDevice
    from edge_sdk.system.providers import ProviderChoice

IN_TURN_SECONDS: Final = 10.0
"""Seconds for which a look at a device waits while another process opens it or looks at it."""


def add_state(command: argparse.ArgumentParser) -> None:
    """Add the arguments that name an enrolled device."""
    command.add_argument("state", type=Path, help="the device's state folder")
    command.add_argument("--hub", metavar="URL", help="of the hub (default: the one of last time)")


def enrolled(state: Path, hub: str | None, **more: Any) -> EdgeDevice:
    """Return the device of a state folder that is there; a look must not make one.

    Args:
        state: folder.
        hub: URL; ``None`` for the one of last time.
        **more: keywords of :class:`edge_sdk.EdgeDevice`; without providers those of last time, so
            that a look at a device does not have it choose anew.

    Raises:
        StateError: no device is enrolled there, or it is in use.
    """
    from edge_sdk.device import EdgeDevice
    from edge_sdk.errors import StateError

    copies = ("device.db", "device.copy.json", "identity.json")  # one of them is enough
    if not any((state / name).exists() for name in copies):
        raise StateError(
            f"{state}: no device is enrolled here; begin with edge enrol "
            f"{state} --hub {hub or 'URL'} --token T --model M"
        )
    last_hub, providers = _last_time(state)
    hub = hub or last_hub
    if hub is None:
        raise StateError(f"{state}: does not say which hub; say --hub URL")
    if more.get("providers") is None:
        more["providers"] = providers
    return EdgeDevice(state, hub=hub, **more)


def provisioned(state: Path, first_boot: Path, hub: str | None, **more: Any) -> EdgeDevice:
    """Return the device of a state folder, which joins by its first-boot file if it has to.

    Args:
        state: folder; made if need be.
        first_boot: file of ``edge provision``; not needed any more once the device is enrolled.
        hub: URL, in place of the file's or that of last time; ``None`` for those.
        **more: as for :func:`enrolled`.

    Raises:
        StateError: it is not enrolled, and the file is missing or damaged; or it is in use.
        HubError: the hub refuses the card.
    """
    from edge_sdk.device import EdgeDevice
    from edge_sdk.provisioning.joining import open_at_first_boot

    def opened(**terms: Any) -> EdgeDevice:
        if "token" in terms:
            terms["hub"] = hub or terms["hub"]
            return EdgeDevice(state, **terms)
        return enrolled(state, hub, **terms)

    return open_at_first_boot(state, first_boot, opened, **more)


def _last_time(state: Path) -> tuple[str | None, list[ProviderChoice] | None]:
    """Return the hub and the providers with which the device was opened last."""
    from edge_sdk.fleet.enrolment import hub_of, providers_of_last_time
    from edge_sdk.state_db import StateDatabase

    with contextlib.closing(StateDatabase(state)) as store:
        return hub_of(store), providers_of_last_time(store)


def reached(state: Path, hub: str | None, **more: Any) -> EdgeDevice:
    """Return the device where another process runs it, else opened here; arguments of
    :func:`enrolled`.
    """
    from edge_sdk.device import EdgeDevice
    from edge_sdk.errors import DeviceInUse, StateError

    until = time.monotonic() + IN_TURN_SECONDS
    while True:
        with contextlib.suppress(StateError):
            return EdgeDevice.attach(state)
        try:
            return enrolled(state, hub, **more)
        except DeviceInUse:  # somebody else who looks, perhaps, or an application that starts
            if time.monotonic() > until:
                raise
        time.sleep(0.05)
