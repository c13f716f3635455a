"""Destinations and what was tried, in the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from sqlalchemy import Engine, RowMapping, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from cloud_hub.alerts.rules import AlertRules, DestinationProgress
from cloud_hub.alerts.tables import deliveries, destinations
from cloud_hub.database.engine import transaction
from cloud_hub.errors import Conflict, NotFound

KEPT_DELIVERIES: Final = 1_000
"""Tries of one destination that are remembered."""

FIELDS: Final = tuple(DestinationProgress.__dataclass_fields__)


@dataclass(frozen=True)
class Destination:
    """Where alerts go.

    Attributes:
        name: of it.
        kind: ``webhook`` or ``apprise``.
        url: of the receiver, with what secrets it holds.
        secrets: that sign webhooks, newest first, with the end of each (Unix seconds) or ``None``.
        rules: what it wants.
        made_at: Unix seconds.
        made_by: who made it.
        progress: how far it is.
    """

    name: str
    kind: str
    url: str
    secrets: tuple[tuple[str, float | None], ...]
    rules: AlertRules
    made_at: float
    made_by: str
    progress: DestinationProgress

    def signing(self, now: float) -> list[str]:
        """Return the secrets that sign at a moment, newest first."""
        return [secret for secret, until in self.secrets if until is None or now < until]


@dataclass(frozen=True)
class DeliveryRecord:
    """One try: of ``events`` events, of which ``event`` is the last; ``attempt`` counts from 1,
    ``seconds`` is how long it took.
    """

    id: int
    destination: str
    at: float
    event: int
    events: int
    attempt: int
    seconds: float
    delivered: bool
    status: int | None
    reason: str


class DestinationStore:
    """Destinations of a hub.

    Args:
        engine: of its database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def all(self) -> list[Destination]:
        """Return all, by name."""
        with self._engine.connect() as db:
            rows = db.execute(select(destinations).order_by(destinations.c.name)).mappings().all()
        return [_destination(row) for row in rows]

    def get(self, name: str) -> Destination:
        """Return one; raises NotFound."""
        query = select(destinations).where(destinations.c.name == name)
        with self._engine.connect() as db:
            row = db.execute(query).mappings().first()
        if row is None:
            raise NotFound(f"{name}: no such destination; edge-hub alerts list")
        return _destination(row)

    def add(self, new: Destination) -> None:
        """Store a new one; raises Conflict if the name is taken."""
        row = {
            "name": new.name, "kind": new.kind, "url": new.url, "secrets": list(new.secrets),
            "rules": asdict(new.rules), "made_at": new.made_at, "made_by": new.made_by,
        }  # fmt: skip
        try:
            with transaction(self._engine) as db:
                db.execute(insert(destinations).values(**row, **asdict(new.progress)))
        except IntegrityError as error:
            raise Conflict(f"{new.name}: there is a destination of this name") from error

    def change(self, name: str, **values: Any) -> None:
        """Change columns of a destination; raises NotFound."""
        with transaction(self._engine) as db:
            done = db.execute(update(destinations).filter_by(name=name).values(**values))
        if not done.rowcount:
            raise NotFound(f"{name}: no such destination; edge-hub alerts list")

    def remove(self, name: str) -> None:
        """Remove one with what was tried; raises NotFound."""
        with transaction(self._engine) as db:
            done = db.execute(delete(destinations).where(destinations.c.name == name))
            db.execute(delete(deliveries).where(deliveries.c.destination == name))
        if not done.rowcount:
            raise NotFound(f"{name}: no such destination; edge-hub alerts list")

    def advance(
        self, seen: Destination, progress: DestinationProgress, tried: DeliveryRecord | None = None
    ) -> None:
        """Store how far a destination is, and what was tried, all or nothing.

        Only what this step changed is written, so that whoever silences or removes the destination
        in between is not undone.

        Args:
            seen: as it was before.
            progress: how far it is now.
            tried: the try that led to it, if there was one.
        """
        before, after = asdict(seen.progress), asdict(progress)
        changed = {name: after[name] for name in FIELDS if after[name] != before[name]}
        with transaction(self._engine) as db:
            if changed:
                d = destinations.c
                # A new destination of the same name is another one.
                here = (d.name == seen.name) & (d.made_at == seen.made_at)
                db.execute(update(destinations).where(here).values(**changed))
            if tried is not None:
                row = asdict(tried)
                row.pop("id")
                db.execute(insert(deliveries).values(**row))

    def tried(self, name: str, limit: int) -> list[DeliveryRecord]:
        """Return the newest tries of a destination, oldest first."""
        query = select(deliveries).where(deliveries.c.destination == name)
        query = query.order_by(deliveries.c.id.desc()).limit(limit)
        with self._engine.connect() as db:
            found = [DeliveryRecord(**row) for row in db.execute(query).mappings()]
        return found[::-1]

    def clean(self, names: Sequence[str]) -> None:
        """Forget all but the newest tries of destinations."""
        d = deliveries.c
        for name in names:
            query = select(d.id).where(d.destination == name).order_by(d.id.desc())
            with transaction(self._engine) as db:
                last = db.execute(query.offset(KEPT_DELIVERIES).limit(1)).scalar()
                if last is not None:
                    db.execute(delete(deliveries).where(d.destination == name, d.id <= last))


def _destination(row: RowMapping) -> Destination:
    return Destination(
        row["name"], row["kind"], row["url"],
        tuple((secret, until) for secret, until in row["secrets"]),
        AlertRules.of(row["rules"]), row["made_at"], row["made_by"],
        DestinationProgress(**{name: row[name] for name in FIELDS}),
    )  # fmt: skip


def succeeded(progress: DestinationProgress, now: float) -> DestinationProgress:
    """Return the progress after something was taken."""
    return replace(progress, sent_at=now, attempts=0, try_at=0.0, failing_since=None)
