"""The device that sent an upload, read once in the transaction that stores it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, select

from cloud_hub.fleet.tables import devices


@dataclass(frozen=True)
class Sender:
    """A device as the hub knows it.

    Attributes:
        device: its name.
        model: of its models, the one that the messages speak of.
        enrolled_at: Unix seconds; ``None`` if it was forgotten since it was let in.
        attributes: as it says that they are now.
    """

    device: str
    model: str
    enrolled_at: float | None
    attributes: Mapping[str, str]


def read_sender(db: Connection, device: str, model: str, *, lock: bool) -> Sender:
    """Read the sender of an upload.

    Args:
        db: transaction that will store the upload.
        device: its name.
        model: of its models, the one that the messages speak of.
        lock: of two uploads of it at once, one waits here.
    """
    query = select(devices.c.enrolled_at, devices.c.attributes).where(
        (devices.c.device == device) & (devices.c.model == model)
    )
    row = db.execute(query.with_for_update() if lock else query).first()
    return Sender(device, model, *(row or (None, {})))
