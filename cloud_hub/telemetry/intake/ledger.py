"""Ledgers of devices: what each has reported of each day, so that no more is taken than can be.

A row a device, model and day, since each model's policy declares a rate;
:mod:`cloud_hub.telemetry.plausibility` says what may stand in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple
from typing import TYPE_CHECKING, Final, NamedTuple

from cloud_hub.database.bulk import insert_adding, insert_new, rows_by_key
from cloud_hub.telemetry.plausibility import (
    COUNTS,
    DAY,
    Ledger,
    check_ledger,
    check_message,
    counted,
)
from cloud_hub.telemetry.tables import ledgers
from edge_sdk.contract.messages import Body, Windowed

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from cloud_hub.telemetry.sender import Sender
    from edge_sdk.contract.serving_terms import Reporting

KEY: Final = ("device", "model", "day")


class LedgerKey(NamedTuple):
    """One ledger; ``day`` is its start in Unix seconds."""

    device: str
    model: str
    day: int

    @classmethod
    def of(cls, device: str, body: Windowed) -> LedgerKey:
        """Return that of the day in which a message's window began."""
        window = body.window
        return cls(device, window.model, window.start - window.start % DAY)


class Ledgers:
    """The ledgers that the messages of one transaction change.

    They are locked where the database locks rows, in one order and before anything else is written,
    so that two uploads of one device do not each use up the day, and none waits for one that waits
    for it.

    Args:
        db: the transaction.
        keys: of the ledgers.
        now: Unix seconds.
    """

    def __init__(self, db: Connection, keys: Iterable[LedgerKey], now: float) -> None:
        self._db, self._now = db, now
        self._have = _locked(db, sorted(set(keys)))
        self._more: dict[LedgerKey, Ledger] = {}

    def add(self, sender: Sender, body: Body, reporting: Reporting) -> None:
        """Take a message into account.

        Args:
            sender: of it.
            body: the message.
            reporting: the model's terms; their rate bounds what a device can count.

        Raises:
            Implausible: no device can have made it, or not beside what this one sent before; it is
                not taken into account then.
        """
        if not isinstance(body, Windowed):
            return
        rate, carried = reporting.requests_per_second, reporting.minimum_observations
        enrolled_at, now = sender.enrolled_at, self._now
        check_message(body, rate=rate, carried=carried, enrolled_at=enrolled_at, now=now)
        key, more = LedgerKey.of(sender.device, body), counted(body)
        have = self._have[key] + more
        check_ledger(key.day, have, rate=rate, enrolled_at=enrolled_at, now=now)
        self._have[key] = have
        self._more[key] = self._more[key] + more if key in self._more else more

    def write(self) -> None:
        """Add what was taken to the ledgers."""
        counts = ((key, astuple(more)) for key, more in sorted(self._more.items()))
        rows = [(*key, *more) for key, more in counts if any(more)]
        insert_adding(self._db, ledgers, (*KEY, *COUNTS), rows, adds=COUNTS)


def _locked(db: Connection, keys: Sequence[LedgerKey]) -> dict[LedgerKey, Ledger]:
    have = dict.fromkeys(keys, Ledger())
    if db.dialect.name != "sqlite":  # there is one writer, and a row that is missing is none
        there = {LedgerKey(*row) for row in rows_by_key(db, ledgers, KEY, KEY, keys)}
        none = astuple(Ledger())
        missing = [(*key, *none) for key in keys if key not in there]
        # Whoever inserts a row first has it; all insert in one order, and lock only then.
        insert_new(db, ledgers, (*KEY, *COUNTS), missing)
    for row in rows_by_key(db, ledgers, KEY, (*KEY, *COUNTS), keys, lock=True):
        have[LedgerKey(*row[:3])] = Ledger(*row[3:])
    return have
