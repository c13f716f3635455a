"""Devices put into a hub's tables as an enrolment leaves them: a hundred thousand in seconds."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

from sqlalchemy import insert

from cloud_hub.fleet.secret_digest import digest
from cloud_hub.fleet.tables import devices, identities
from cloud_hub.hub import Hub

CHUNK: Final = 20_000


class SeededDevice(NamedTuple):
    """A device and its credential."""

    name: str
    credential: str


def seed_devices(hub: Hub, model: str, count: int, *, ago: float = 0.0) -> tuple[SeededDevice, ...]:
    """Add devices of a model; they have no keys, so that their credentials cannot be renewed.

    Args:
        hub: that does not serve meanwhile.
        model: whose fleet they join.
        count: of devices.
        ago: seconds since they joined.
    """
    made = tuple(
        SeededDevice(f"d-{secrets.token_hex(6)}", secrets.token_urlsafe(32)) for _ in range(count)
    )
    now, waiting = time.time(), iter(made)
    while chunk := list(islice(waiting, CHUNK)):
        with hub.engine.begin() as db:
            db.execute(insert(identities), list(_identities(chunk, now)))
            db.execute(insert(devices), list(_devices(chunk, model, now - ago)))
    return made


def _identities(chunk: Sequence[SeededDevice], now: float) -> Iterator[dict[str, Any]]:
    for device in chunk:
        yield {
            "device": device.name, "standing": "active", "changed_at": now,
            "enrolled_by": "token:benchmark", "vouched_by": device.name, "attributes": {},
            "generation": 1, "credential": digest(device.credential), "credential_at": now,
        }  # fmt: skip


def _devices(chunk: Sequence[SeededDevice], model: str, now: float) -> Iterator[dict[str, Any]]:
    for device in chunk:
        yield {
            "device": device.name, "model": model, "enrolled_at": now, "seen_at": now,
            "attributes": {}, "failed": [], "software": {},
        }  # fmt: skip
