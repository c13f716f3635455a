"""Sums over units as devices reported them: one row for each device and generation of a prior.

A device is one voice for a generation, whatever it sends: what it said first counts.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import (
    Connection,
    Engine,
    func,
    insert,
    select,
)

from cloud_hub.database.engine import reading
from cloud_hub.errors import Implausible, Invalid
from cloud_hub.fleet.tables import identities
from cloud_hub.telemetry.plausibility import BURST
from cloud_hub.telemetry.sender import Sender
from cloud_hub.telemetry.tables import personal_reports
from edge_sdk.contract.codec import from_plain, to_plain
from edge_sdk.contract.limits import CLOCK_SKEW_SECONDS
from edge_sdk.contract.messages import Body
from edge_sdk.contract.personal.report import PersonalReport


class KnownPriors(Protocol):
    """Priors that the hub made."""

    def basis(self, db: Connection, model: str, generation: int) -> str | None:
        """Return the digest of what a generation's sums are in; ``None`` if there is none.

        Args:
            db: an open transaction.
            model: name of the line.
            generation: number of the prior.
        """


@dataclass(frozen=True)
class StoredReport:
    """A report of one device that is trusted today.

    Attributes:
        device: its name.
        voucher: who vouched for it; devices of one voucher are one voice.
        received_at: Unix seconds.
        report: its sums.
    """

    device: str
    voucher: str
    received_at: float
    report: PersonalReport


def check_report(
    db: Connection, body: Body, sender: Sender, priors: KnownPriors, *, rate: float, now: float
) -> None:
    """Refuse sums that no device can have, or not this one; other messages pass.

    Args:
        db: transaction of the upload.
        body: the message.
        sender: of it.
        priors: that the hub made.
        rate: requests a second of one device at most.
        now: Unix seconds.

    Raises:
        Invalid: the prior is none of this hub's, or the device has reported of it before.
        Implausible: more labels than the device can have had.
    """
    if not isinstance(body, PersonalReport):
        return
    basis = priors.basis(db, body.model, body.generation)
    if basis != body.basis:
        what = "no such prior was made" if basis is None else "its sums are in another basis"
        raise Invalid(f"personal: generation {body.generation} of {body.model}: {what}")
    if body.at > now + CLOCK_SKEW_SECONDS:
        raise Implausible(f"personal: closed in the future ({body.at}); check its clock", "clock")
    since = now - (sender.enrolled_at or 0.0)
    most = rate * (since + CLOCK_SKEW_SECONDS + BURST)
    # Noise makes more or fewer of them: then each device is bounded where sums are made.
    if body.epsilon is None and body.labels > most:
        raise Implausible(
            f"personal: {body.labels:.0f} labels, expected at most {most:.0f}: {rate:g} requests a "
            "second since the device joined",
            "counts",
        )
    t = personal_reports.c
    mine = (t.device == sender.device) & (t.model == body.model)
    if db.execute(select(t.at).where(mine, t.generation == body.generation)).first() is not None:
        raise Invalid(
            f"personal: this device has told its sums of generation {body.generation} before; "
            "once is all that counts"
        )


def store_report(db: Connection, device: str, body: PersonalReport) -> None:
    """Store the sums of one device.

    Args:
        db: transaction of the upload.
        device: its name.
        body: checked sums.
    """
    row = {
        "device": device, "model": body.model, "generation": body.generation,
        "version": body.version, "cohort": body.cohort, "epsilon": body.epsilon, "at": body.at,
        "received_at": time.time(), "body": to_plain(body),
    }  # fmt: skip
    db.execute(insert(personal_reports).values(**row))


def arrivals_of(engine: Engine, model: str, generation: int) -> tuple[int, float]:
    """Return how many devices reported of a generation, and when the first did (Unix seconds).

    Args:
        engine: of the database.
        model: name of the line.
        generation: of its prior.
    """
    t = personal_reports.c
    query = select(func.count(), func.min(t.received_at))
    with reading(engine) as db:
        of = (t.model == model, t.generation == generation)
        count, first = db.execute(query.where(*of)).one()
    return int(count), float(first or 0.0)


def reports_of(engine: Engine, model: str, generation: int) -> Iterator[StoredReport]:
    """Return what devices said of a generation, in the order of their names.

    Args:
        engine: of the database.
        model: name of the line.
        generation: of its prior.
    """
    t, i = personal_reports.c, identities.c
    query: Any = (
        select(t.device, i.vouched_by, t.received_at, t.body)
        .join(identities, i.device == t.device)
        .where(t.model == model, t.generation == generation, i.standing == "active")
        .order_by(t.device)
    )
    with reading(engine) as db:
        for device, voucher, received_at, body in db.execute(query):
            yield StoredReport(device, voucher, received_at, from_plain(PersonalReport, body))
