"""The devices that sent the uploads of one transaction, read once each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cloud_hub.database.bulk import rows_by_key
from cloud_hub.fleet.tables import devices

if TYPE_CHECKING:
    from sqlalchemy import Connection

KEY: Final = ("device", "model")


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


def read_senders(
    db: Connection, keys: Iterable[tuple[str, str]], *, lock: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], Sender]:
    """Read the senders of uploads.

    Args:
        db: transaction that will store the uploads.
        keys: names of devices, and of their models the ones that the messages speak of.
        lock: of them, those of which two uploads at once wait for each other here.

    Returns:
        A sender for each of ``keys``.
    """
    first = sorted(set(lock))
    others = sorted(set(keys) - set(first))
    senders = {key: Sender(*key, None, {}) for key in (*first, *others)}
    wanted = (*KEY, "enrolled_at", "attributes")
    rows = rows_by_key(db, devices, KEY, wanted, first, lock=True)
    rows += rows_by_key(db, devices, KEY, wanted, others)
    for device, model, enrolled_at, attributes in rows:
        senders[device, model] = Sender(device, model, enrolled_at, json.loads(attributes))
    return senders
