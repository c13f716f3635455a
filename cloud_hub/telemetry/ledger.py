"""Ledgers of devices: what each has reported of each day, so that no more is taken than can be.

A row a device, model and day, since each model's policy declares a rate;
:mod:`cloud_hub.telemetry.plausibility` says what may stand in it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, astuple

from sqlalchemy import Connection, select

from cloud_hub.database.engine import insert_if_new, insert_or_add
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
from edge_sdk.contract.serving_terms import Reporting


class DeviceLedger:
    """The ledgers of one model on one device within one upload.

    Args:
        db: transaction that stores the upload.
        device: its name.
        model: that the bodies speak of.
        reporting: the model's terms; their rate bounds what a device can count.
        bodies: that the upload holds.
    """

    def __init__(
        self, db: Connection, device: str, model: str, reporting: Reporting, bodies: Iterable[Body]
    ) -> None:
        self._db, self._key, self._reporting = db, {"device": device, "model": model}, reporting
        self._now = time.time()
        days = {_day(body) for body in bodies if isinstance(body, Windowed)}
        self._before = self._locked(sorted(days))
        self._more: dict[int, Ledger] = {}

    def _locked(self, days: Sequence[int]) -> dict[int, Ledger]:
        """Return the rows of days, locked where the database can, before anything is written.

        Two uploads of one device must not each use up the day. All take the rows in the order of
        days, and before their messages, so that none waits for one that waits for it.
        """
        before: dict[int, Ledger] = {}
        for day in days:
            mine = select(ledgers).filter_by(**self._key, day=day).with_for_update()
            row = self._db.execute(mine).mappings().first()
            if row is None:
                insert_if_new(self._db, ledgers, {**self._key, "day": day, **asdict(Ledger())})
                row = self._db.execute(mine).mappings().one()
            before[day] = Ledger(*(row[name] for name in COUNTS))
        return before

    def add(self, body: Body, *, enrolled_at: float | None) -> None:
        """Take a message into account.

        Args:
            body: the message.
            enrolled_at: when the device enrolled, Unix seconds.

        Raises:
            Implausible: no device can have made it, or not beside what this one sent before; it is
                not taken into account then.
        """
        if not isinstance(body, Windowed):
            return
        rate, carried = self._reporting.requests_per_second, self._reporting.minimum_observations
        check_message(
            body, rate=rate, carried=carried, enrolled_at=enrolled_at, now=self._now
        )  # fmt: skip
        day = _day(body)
        more = self._more.get(day, Ledger()) + counted(body)
        have = self._before.get(day, Ledger()) + more
        check_ledger(day, have, rate=rate, enrolled_at=enrolled_at, now=self._now)
        self._more[day] = more

    def write(self) -> None:
        """Add what was taken to the ledgers."""
        rows = [
            {**self._key, "day": day, **asdict(more)}
            for day, more in self._more.items()
            if any(astuple(more))
        ]
        insert_or_add(self._db, ledgers, rows, COUNTS)


def _day(body: Windowed) -> int:
    return body.window.start - body.window.start % DAY
