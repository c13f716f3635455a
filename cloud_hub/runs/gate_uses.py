"""What the offline gate was asked of which rows: the same rows wear with every use."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager

from sqlalchemy import Engine, func, insert, select

from cloud_hub.database.engine import transaction
from cloud_hub.database.locks import exclusive
from cloud_hub.runs.gate import Check
from cloud_hub.runs.tables import gate_uses
from cloud_hub.statistics.reuse import Wear


class GateUses:
    """Uses of the rows of all models."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def alone(self) -> AbstractContextManager[None]:
        """Return a context that one thread of all workers enters at a time.

        Two candidates would both be the next use.
        """
        return exclusive(self._engine, "gate")

    def wear(
        self,
        model: str,
        slice_: str,
        *,
        data: str = "",
        since: float = 0.0,
        until: float = math.inf,
    ) -> Wear:
        """Return what was asked of some rows before.

        Args:
            model: name of the model.
            slice_: ``fresh`` or ``history``.
            data: digest of the rows; empty for fresh ones, which are others each time.
            since: uses before it (Unix seconds) saw none of these rows.
            until: uses after it saw none of them either.
        """
        u = gate_uses.c
        query = select(func.count(), func.sum(u.checks), func.sum(u.decided)).where(
            u.model == model, u.slice == slice_, u.data == data, u.at > since, u.at <= until
        )
        with self._engine.connect() as db:
            uses, checks, decided = db.execute(query).one()
        return Wear(int(uses), int(checks or 0), int(decided or 0))

    def note(
        self,
        model: str,
        slice_: str,
        checks: Sequence[Check],
        *,
        data: str = "",
        version: str,
        now: float,
    ) -> None:
        """Store a use.

        Args:
            model: name of the model.
            slice_: ``fresh`` or ``history``.
            checks: that had a verdict on these rows, or could have had one.
            data: digest of the rows; empty for fresh ones.
            version: candidate that was judged.
            now: Unix seconds.
        """
        if not checks:
            return  # nothing was told of these rows
        decided = sum(check.verdict in ("passed", "worse") for check in checks)
        row = {"model": model, "slice": slice_, "data": data, "version": version, "at": now}
        with transaction(self._engine) as db:
            db.execute(insert(gate_uses).values(**row, checks=len(checks), decided=decided))
