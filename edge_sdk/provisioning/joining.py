"""The first start of a provisioned device: it joins as its card says, however long that takes."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edge_sdk.errors import HubBusy, HubError, HubUnreachable, StateError
from edge_sdk.provisioning.first_boot import read_first_boot, remove_first_boot
from edge_sdk.system.logs import Log

if TYPE_CHECKING:
    from edge_sdk.device import EdgeDevice
    from edge_sdk.provisioning.first_boot import FirstBoot

_log = Log(__name__)

LONGEST_WAIT: Final = 300.0
"""Seconds between two attempts to reach the hub, at the most."""


def waits(jitter: Callable[[], float] = random.random) -> Iterator[float]:
    """Yield the seconds between attempts: they double, and a fleet does not come in step.

    Args:
        jitter: returns a random number from 0 to 1.
    """
    bound = 2.0
    while True:
        yield bound * (0.5 + 0.5 * jitter())
        bound = min(2 * bound, LONGEST_WAIT)


def open_at_first_boot(
    state: Path,
    path: Path,
    opened: Callable[..., EdgeDevice],
    wait: Callable[[float], None] = time.sleep,
    **more: Any,
) -> EdgeDevice:
    """Return the device of a state folder, which joins by its first-boot file if it has to.

    A network that is not up yet, or a clock that is so wrong that no certificate is valid, is
    waited for. The file is removed once the device has its identity.

    Args:
        state: the device's state folder; made if need be.
        path: of the file.
        opened: opens the device with keywords of :class:`edge_sdk.EdgeDevice`; those of a card,
            ``token`` among them, only if it has to join.
        wait: for so many seconds.
        **more: keywords for ``opened``.

    Raises:
        StateError: the file cannot be read, and the device is not enrolled.
        HubError: the hub refuses it: the card was used by another device, perhaps.
    """
    joined = is_enrolled(state)
    card = None if joined else read_first_boot(path)
    if card is None:
        if not joined:
            raise StateError(
                f"{state}: no device is enrolled here, and {path} is not there; make it with edge "
                "provision, or enrol by hand: edge enrol"
            )
        device = opened(**more)
    else:
        device = _join(path, card, opened, wait, more)
    if path.exists():
        remove_first_boot(path)
    return device


def is_enrolled(state: Path) -> bool:
    """Return whether a device of this folder has joined a fleet."""
    from edge_sdk.fleet.identity import IdentityStore
    from edge_sdk.state_db import StateDatabase

    if not state.is_dir():
        return False
    with contextlib.closing(StateDatabase(state)) as store:
        own = IdentityStore(store).identity
    return own is not None and own.enrolled


def _join(
    path: Path,
    card: FirstBoot,
    opened: Callable[..., EdgeDevice],
    wait: Callable[[float], None],
    more: dict[str, Any],
) -> EdgeDevice:
    """Enrol by a card, again and again until the hub has answered."""
    terms = {
        **more,
        "hub": card.hub,
        "token": card.token,
        "serial": card.serial,
        "root": None if card.root is None else card.root.encode(),
        "model": card.model or more.get("model"),
        "attributes": dict(card.attributes),
    }
    for seconds in waits():
        try:
            return opened(**terms)
        except HubUnreachable as error:
            if isinstance(error, HubBusy):
                seconds = max(seconds, error.retry_after)
            _log.warning("%s; trying again in %.0f s", error, seconds)
            wait(seconds)
        except HubError as error:
            raise HubError(f"{path}: {error}", error.status) from error
    raise AssertionError("there is always another attempt")
