"""Amounts as they arise: kept in memory, and added to the database together now and then.

A download or an answer of the cloud is noted without waiting for a database. What is in memory is
written every ten seconds and when the hub ends; a crash loses at most as much of it. Several
workers add to the same rows.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from sqlalchemy import Engine

from cloud_hub.cost.amounts import CostKind, day_of
from cloud_hub.cost.tables import costs
from cloud_hub.database.engine import insert_or_add, transaction
from cloud_hub.database.flusher import Flusher

_KEY: Final = ("day", "model", "version", "kind", "subject")


class CostLedger:
    """Amounts of one process. Safe from several threads.

    Args:
        engine: of the hub's database.
        clock: Unix seconds.

    Attributes:
        flusher: writes every ten seconds, once it is started.
    """

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.time) -> None:
        self._engine, self._clock = engine, clock
        self._lock, self._flushing = threading.Lock(), threading.Lock()
        self._amounts: dict[tuple[object, ...], float] = {}
        self.flusher = Flusher("hub-costs", "what models cost", self.flush)

    def note(
        self, kind: CostKind, model: str, version: str, amount: float, *, subject: str = ""
    ) -> None:
        """Note an amount of today.

        Args:
            kind: of what.
            model: whose.
            version: whose; empty where it is of no one version.
            amount: in the unit of its kind.
            subject: what it was for: ``batch 3``.
        """
        key = (day_of(self._clock()), model, version, kind, subject)
        with self._lock:
            self._amounts[key] = self._amounts.get(key, 0.0) + amount

    def flush(self) -> None:
        """Add what is in memory to the database; raises SQLAlchemyError, and keeps it then."""
        with self._flushing:
            with self._lock:
                leaving, self._amounts = self._amounts, {}
            # In one order in every process, so that of two that write none waits for the other.
            rows = [
                {**dict(zip(_KEY, key, strict=True)), "amount": amount}
                for key, amount in sorted(leaving.items(), key=lambda item: str(item[0]))
            ]
            try:
                with transaction(self._engine) as db:
                    insert_or_add(db, costs, rows, ["amount"])
            except BaseException:
                with self._lock:
                    for key, amount in leaving.items():
                        self._amounts[key] = self._amounts.get(key, 0.0) + amount
                raise
