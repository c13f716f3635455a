"""Priors, switches and failed fits of all models, in the hub's database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Engine, delete, func, insert, select

from cloud_hub.database.engine import reading, transaction
from cloud_hub.personalise.tables import personal_failures, personal_priors, personal_switches
from edge_sdk.contract.manifest import FileRef
from edge_sdk.contract.plan import PriorRef


@dataclass(frozen=True)
class PriorRecord:
    """One generation of a model's prior.

    Attributes:
        model: name of the line.
        generation: rises with each, over all versions.
        version: that it is for.
        manifest: SHA-256 of the version's manifest.
        sha256: of the file.
        length: bytes of the file.
        basis: vectors that units are told apart by.
        basis_digest: with the same one units keep what was learned of them.
        helps: whether units that were left out of the fit were answered better.
        figures: of the fit.
        verdict: in words.
        said: what was left out, in sentences.
        source: where its rows or sums came from, in words.
        made_at: Unix seconds.
        actor: who had it made.
    """

    model: str
    generation: int
    version: str
    manifest: str
    sha256: str
    length: int
    basis: str
    basis_digest: str
    helps: bool
    figures: Mapping[str, float]
    verdict: str
    said: tuple[str, ...]
    source: str
    made_at: float
    actor: str

    @property
    def ref(self) -> PriorRef:
        """As a plan names it."""
        return PriorRef(FileRef(self.length, self.sha256))


@dataclass(frozen=True)
class Switch:
    """A model that a person has switched off, whatever its policy says.

    Attributes:
        reason: in words.
        at: Unix seconds.
        actor: who did.
    """

    reason: str
    at: float
    actor: str


@dataclass(frozen=True)
class FailedFit:
    """A fit that the hub tried by itself: not tried again with the same rows for a day.

    Attributes:
        source: the rows.
        reason: in words.
        at: Unix seconds.
    """

    source: str
    reason: str
    at: float


class PriorStore:
    """The tables of :mod:`cloud_hub.personalise.tables`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def records(self, model: str) -> list[PriorRecord]:
        """Return the generations of a model, oldest first."""
        p = personal_priors.c
        query = select(personal_priors).where(p.model == model).order_by(p.generation)
        with reading(self._engine) as db:
            return [_record(row) for row in db.execute(query).mappings()]

    def newest(self, model: str, manifest: str | None = None) -> PriorRecord | None:
        """Return the newest generation of a model, or of one of its releases."""
        p = personal_priors.c
        query = select(personal_priors).where(p.model == model)
        if manifest is not None:
            query = query.where(p.manifest == manifest)
        with reading(self._engine) as db:
            row = db.execute(query.order_by(p.generation.desc()).limit(1)).mappings().first()
        return None if row is None else _record(row)

    def next_generation(self, model: str) -> int:
        """Return the number of the generation that comes next."""
        p = personal_priors.c
        query = select(func.max(p.generation)).where(p.model == model)
        with reading(self._engine) as db:
            return 1 + (db.execute(query).scalar() or 0)

    def add(self, record: PriorRecord) -> None:
        """Store a generation; of two of one number at once, one raises IntegrityError."""
        row = {**asdict(record), "figures": dict(record.figures), "said": list(record.said)}
        failures = personal_failures.c
        with transaction(self._engine) as db:
            db.execute(insert(personal_priors).values(**row))
            of_release = failures.model == record.model, failures.manifest == record.manifest
            db.execute(delete(personal_failures).where(*of_release))

    def switch(self, model: str) -> Switch | None:
        """Return who switched a model off; ``None`` if nobody did."""
        s = personal_switches.c
        query = select(s.reason, s.at, s.actor).where(s.model == model)
        with reading(self._engine) as db:
            row = db.execute(query).mappings().first()
        return None if row is None else Switch(**row)

    def set_switch(self, model: str, switch: Switch | None) -> None:
        """Note that a model is switched off, or no longer."""
        with transaction(self._engine) as db:
            db.execute(delete(personal_switches).where(personal_switches.c.model == model))
            if switch is not None:
                db.execute(insert(personal_switches).values(model=model, **asdict(switch)))

    def failure(self, model: str, manifest: str) -> FailedFit | None:
        """Return the last fit of a release that failed, since its newest generation."""
        f = personal_failures.c
        query = select(f.source, f.reason, f.at).where(f.model == model, f.manifest == manifest)
        with reading(self._engine) as db:
            row = db.execute(query).mappings().first()
        return None if row is None else FailedFit(**row)

    def set_failure(self, model: str, manifest: str, failed: FailedFit) -> None:
        """Note that a fit failed."""
        f = personal_failures.c
        with transaction(self._engine) as db:
            db.execute(delete(personal_failures).where(f.model == model, f.manifest == manifest))
            db.execute(
                insert(personal_failures).values(model=model, manifest=manifest, **asdict(failed))
            )


def _record(row: Mapping[Any, Any]) -> PriorRecord:
    return PriorRecord(**{**row, "said": tuple(row["said"])})
