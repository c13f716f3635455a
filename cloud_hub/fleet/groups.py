"""Groups of devices: searches with a name. A group has no members of its own: a device is in it
while the search finds it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Engine, delete, func, insert, select

from cloud_hub.database.audit import Audit
from cloud_hub.database.engine import transaction
from cloud_hub.errors import Invalid, NotFound
from cloud_hub.fleet.search import parse_search
from cloud_hub.fleet.tables import device_groups

MOST: Final = 200
LONGEST_NAME: Final = 60


@dataclass(frozen=True)
class DeviceGroup:
    """A search with a name; ``made_at`` in Unix seconds."""

    name: str
    search: str
    made_at: float
    made_by: str


class DeviceGroups:
    """The groups of one hub.

    Args:
        engine: of the hub's database.
        audit: where changes are noted.
    """

    def __init__(self, engine: Engine, audit: Audit) -> None:
        self._engine = engine
        self._audit = audit

    def list(self) -> list[DeviceGroup]:
        """Return all groups, by name."""
        query = select(device_groups).order_by(device_groups.c.name)
        with self._engine.connect() as db:
            return [DeviceGroup(**row) for row in db.execute(query).mappings()]

    def save(self, name: str, search: str, *, actor: str) -> DeviceGroup:
        """Save a search; one of the same name is replaced.

        Args:
            name: for people.
            search: as :mod:`cloud_hub.fleet.search` reads it.
            actor: who saves it.

        Raises:
            Invalid: the name is empty or long, the search is none or empty, or there are too many.
        """
        name, search = name.strip(), search.strip()
        if not name.isprintable() or not 1 <= len(name) <= LONGEST_NAME:
            raise Invalid(f"group: expected a name of 1 to {LONGEST_NAME} characters in one line")
        parse_search(search)
        if not search:
            raise Invalid(f"group {name}: expected a search, such as region=eu")
        group = DeviceGroup(name, search, time.time(), actor)
        t = device_groups.c
        with transaction(self._engine) as db:
            db.execute(delete(device_groups).where(t.name == name))
            if db.execute(select(func.count()).select_from(device_groups)).scalar_one() >= MOST:
                raise Invalid(f"group {name}: expected at most {MOST} groups; remove one first")
            db.execute(insert(device_groups).values(**vars(group)))
            self._audit.record(actor, "group", None, {"group": name, "search": search})
        return group

    def remove(self, name: str, *, actor: str) -> None:
        """Remove a group; its devices stay as they are. Raises NotFound."""
        with transaction(self._engine) as db:
            gone = db.execute(delete(device_groups).where(device_groups.c.name == name))
            if gone.rowcount != 1:
                raise NotFound(f"group {name:.60}: no such group")
            self._audit.record(actor, "ungroup", None, {"group": name})
