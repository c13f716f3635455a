"""Rows of devices, read by the thousand: a look at a model reads its whole fleet.

Most devices of a fleet say the same of their software, and many have the same attributes: what is
the same text is parsed once.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final

from sqlalchemy import JSON, Connection, Select, Text, cast, select

from cloud_hub.database.records import DeviceRecord
from cloud_hub.fleet.tables import devices, identities

FIELDS: Final = tuple(DeviceRecord.__dataclass_fields__)


def select_devices() -> Select[Any]:
    """Return the query of all devices, for :func:`read_devices`."""
    columns = [(devices if name in devices.c else identities).c[name] for name in FIELDS]
    texts = [cast(c, Text).label(c.name) if isinstance(c.type, JSON) else c for c in columns]
    return select(*texts).join_from(devices, identities, identities.c.device == devices.c.device)


def read_devices(
    db: Connection, query: Select[Any], newest: Callable[[str, float], float]
) -> list[DeviceRecord]:
    """Return the devices of a query.

    Args:
        db: an open connection.
        query: of :func:`select_devices`, narrowed.
        newest: says when a device was last heard of, by what the database says of it.
    """
    parse = _parser()
    parsed = [at for at, name in enumerate(FIELDS) if isinstance(_type(name), JSON)]
    device, seen_at = FIELDS.index("device"), FIELDS.index("seen_at")
    records = []
    for row in db.execute(query):
        values = list(row)
        for at in parsed:
            values[at] = parse(values[at])
        values[seen_at] = newest(values[device], values[seen_at])
        records.append(DeviceRecord(*values))
    return records


def read_attributes(db: Connection, model: str) -> dict[str, dict[str, str]]:
    """Return the attributes of each device of a model, in the order in which they joined."""
    parse, d = _parser(), devices.c
    query = select(d.device, cast(d.attributes, Text)).where(d.model == model)
    return {device: parse(text) for device, text in db.execute(query.order_by(d.enrolled_at))}


def settling(db: Connection, names: Collection[str]) -> dict[tuple[str, str], tuple[Any, ...]]:
    """Return what settles to which arm and plan devices count, by device and model."""
    d = devices.c
    query = select(d.device, d.model, d.attributes, d.plan).where(d.device.in_(names))
    return {(device, model): tuple(rest) for device, model, *rest in db.execute(query)}


def settled_anew(
    rows: Iterable[Mapping[str, Any]], before: Mapping[tuple[str, str], tuple[Any, ...]]
) -> set[str]:
    """Return the models of which check-ins say something else than before; most do not.

    Args:
        rows: columns of ``devices``, and of which device and model they are.
        before: of :func:`settling`.
    """
    return {
        row["of_model"]
        for row in rows
        if before.get((row["of_device"], row["of_model"])) != (row["attributes"], row["plan"])
    }


def _type(name: str) -> Any:
    return devices.c[name].type if name in devices.c else None


def _parser() -> Callable[[str], Any]:
    """Return a function that parses each text once, and gives each caller a copy of its own."""
    known: dict[str, Any] = {}

    def parse(text: str) -> Any:
        if text not in known:
            known[text] = json.loads(text)
        return copy.copy(known[text])

    return parse
