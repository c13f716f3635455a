"""Amounts added up by day, run, batch and experiment, and what they cost. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from cloud_hub.cost.prices import PriceTable

DAY: Final = 86_400
CostKind = Literal[
    "training_core_seconds", "batch_core_seconds", "bytes_sent", "cloud_answers", "bucket_bytes"
]


@dataclass(frozen=True)
class CostRow:
    """One amount: of a day (since 1970, UTC), a version and what it was for; both may be empty."""

    day: int
    version: str
    kind: CostKind
    subject: str
    amount: float


@dataclass(frozen=True)
class Amounts:
    """What was used.

    Attributes:
        training_core_seconds: processor time of runs.
        batch_core_seconds: processor time of batch jobs.
        bytes_sent: of releases, packs and forms, to devices.
        cloud_answers: rows that the model in the cloud answered.
        bucket_bytes: that devices were sent to a bucket for: the most that it sent them.
    """

    training_core_seconds: float = 0.0
    batch_core_seconds: float = 0.0
    bytes_sent: float = 0.0
    cloud_answers: float = 0.0
    bucket_bytes: float = 0.0


@dataclass(frozen=True)
class Money:
    """What amounts cost; ``None`` where nobody has put a price on it. ``whole`` is what has one.

    Bytes of a bucket are priced at the most that they can be.
    """

    core_seconds: float | None
    bytes_sent: float | None
    cloud_answers: float | None
    whole: float
    bucket_bytes: float | None = None


@dataclass(frozen=True)
class StoredBytes:
    """Bytes that a model has on the hub: files of its releases (each once), packs, and forms."""

    releases: int = 0
    packs: int = 0
    forms: int = 0

    @property
    def whole(self) -> int:
        """All of them."""
        return self.releases + self.packs + self.forms


@dataclass(frozen=True)
class Savings:
    """Answers that cost no call of the cloud.

    Attributes:
        pack_answers: from packs.
        device_answers: of the model on the device.
        cloud_answers: that the cloud was asked for, as devices report.
        asks_cloud: devices of this model ask the cloud when they are unsure, so that each of the
            other answers saved a call.
        by_packs: money that packs saved, ``None`` without a price or a cloud.
        by_cascade: money that answers of the device saved.
    """

    pack_answers: int
    device_answers: int
    cloud_answers: int
    asks_cloud: bool
    by_packs: float | None = None
    by_cascade: float | None = None


def added(rows: Iterable[CostRow]) -> Amounts:
    """Return rows as one sum."""
    sums = {field.name: 0.0 for field in fields(Amounts)}
    for row in rows:
        if row.kind in sums:  # a newer hub may count more
            sums[row.kind] += row.amount
    return Amounts(**sums)


def by_day(rows: Iterable[CostRow]) -> dict[str, Amounts]:
    """Return sums by date, oldest first."""
    days: dict[int, list[CostRow]] = {}
    for row in rows:
        days.setdefault(row.day, []).append(row)
    return {date_of(day): added(days[day]) for day in sorted(days)}


def by_subject(rows: Iterable[CostRow], word: str) -> dict[int, Amounts]:
    """Return sums of what is for ``run 7`` and the like, by number.

    Args:
        rows: of all kinds.
        word: ``run`` or ``batch``.
    """
    found: dict[int, list[CostRow]] = {}
    for row in rows:
        what, _, number = row.subject.partition(" ")
        if what == word and number.isdecimal():
            found.setdefault(int(number), []).append(row)
    return {number: added(found[number]) for number in sorted(found)}


def of_trial(
    rows: Sequence[CostRow], versions: Iterable[str], began: float, ended: float
) -> Amounts:
    """Return what the candidates of an experiment used while it ran, by whole days.

    Args:
        rows: of its model.
        versions: the candidates.
        began: Unix seconds.
        ended: Unix seconds.
    """
    tried, first, last = set(versions), day_of(began), day_of(ended)
    return added(row for row in rows if row.version in tried and first <= row.day <= last)


def priced(amounts: Amounts, prices: PriceTable) -> Money:
    """Return what amounts cost."""
    cores = _times(
        prices.core_hour, (amounts.training_core_seconds + amounts.batch_core_seconds) / 3_600
    )
    sent = _times(prices.gigabyte_sent, amounts.bytes_sent / 1e9)
    answers = _times(prices.thousand_answers, amounts.cloud_answers / 1_000)
    bucket = _times(prices.gigabyte_of_bucket, amounts.bucket_bytes / 1e9)
    whole = sum(part or 0.0 for part in (cores, sent, answers, bucket))
    return Money(cores, sent, answers, whole, bucket)


def saved(
    predictions: Mapping[str, int], *, asks_cloud: bool, prices: PriceTable | None
) -> Savings:
    """Return what packs and answers of devices saved.

    Args:
        predictions: number by source, as devices report.
        asks_cloud: devices ask the cloud when they are unsure.
        prices: of the hub, if it has any.
    """
    pack, own = predictions.get("pack", 0), predictions.get("model", 0)
    price = prices.thousand_answers if prices is not None and asks_cloud else None
    return Savings(
        pack, own, predictions.get("cloud", 0), asks_cloud,
        _times(price, pack / 1_000), _times(price, own / 1_000),
    )  # fmt: skip


def day_of(at: float) -> int:
    """Return the day of Unix seconds."""
    return int(at // DAY)


def date_of(day: int) -> str:
    """Return a day as ISO 8601 has it."""
    return (datetime.date(1970, 1, 1) + datetime.timedelta(days=day)).isoformat()


def _times(price: float | None, amount: float) -> float | None:
    return None if price is None else price * amount
