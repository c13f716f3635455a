"""Rows of ``exposures``: what devices reported of an experiment, read back as sums.

A row holds a device's sums of one arm, day and kind of message; readers say since when they count.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine, Select, func, select

from cloud_hub.experiments.exposure_sink import KEYS
from cloud_hub.experiments.tables import exposures
from cloud_hub.experiments.verdict.measures import SUMS, ExposureSums
from edge_sdk.contract.codec import from_plain
from edge_sdk.contract.experiment_reports import Moments, Pairs

FAILURE_COLUMNS: Final = ("predictions", "errors", "labelled", "correct")
"""Columns that guardrails on failures read."""


@dataclass(frozen=True)
class ArmSums:
    """Sums of one device on one arm; ``received_at`` is when it last reported (Unix seconds)."""

    device: str
    arm: str
    received_at: float
    sums: ExposureSums


@dataclass(frozen=True)
class PeriodSums:
    """Sums of one device on one arm in the period that began at ``start`` (Unix seconds)."""

    device: str
    arm: str
    start: int
    sums: ExposureSums


@dataclass(frozen=True)
class ShadowTotals:
    """Shadow reports of one device added up; fields as in the report."""

    compared: int = 0
    disagreements: int = 0
    confidence: Moments = Moments()
    value: Moments = Moments()
    latency: Moments = Moments()
    errors: Mapping[str, int] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)
    labelled: Pairs = Pairs()


@dataclass(frozen=True)
class InterleaveTotals:
    """Interleaving reports of one device added up; fields as in the report."""

    sessions: int = 0
    wins: Mapping[str, int] = field(default_factory=dict)
    ties: int = 0
    clicks: Mapping[str, int] = field(default_factory=dict)
    first: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class KeySums:
    """Sums of one device on one arm by bucket of keys: rows of all buckets, by column.

    Columns are the fields of :class:`~edge_sdk.contract.key_buckets.BucketRequests` and of
    :class:`~edge_sdk.contract.key_buckets.BucketOutcomes`; one that is zero may be missing.
    """

    device: str
    arm: str
    columns: Mapping[str, NDArray[np.float64]]


class ExposureRows:
    """Reader of ``exposures``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def sums(self, id_: str, since: int) -> list[ArmSums]:
        """Return the sums of an experiment by device and arm since ``since`` (Unix seconds)."""
        c = exposures.c
        query = (
            select(c.device, c.arm, func.max(c.received_at), *(func.sum(c[n]) for n in SUMS))
            .where(c.experiment == id_, c.start >= since)
            # Summed in the database: a step of ten days is ten rows a device and arm, times kinds.
            .group_by(c.device, c.arm)
        )
        return [
            ArmSums(device, arm, received_at, ExposureSums(*sums))
            for device, arm, received_at, *sums in self._rows(query)
        ]

    def by_period(self, id_: str, since: int) -> list[PeriodSums]:
        """Return the :data:`FAILURE_COLUMNS` by device, arm and period.

        Args:
            id_: of the experiment.
            since: Unix seconds.
        """
        c = exposures.c
        key = (c.device, c.arm, c.start)
        query = (
            select(*key, *(func.sum(c[n]) for n in FAILURE_COLUMNS))
            .where(c.experiment == id_, c.start >= since, c.kind != KEYS)
            .group_by(*key)
        )
        return [
            PeriodSums(
                device, arm, start, ExposureSums(**dict(zip(FAILURE_COLUMNS, sums, strict=True)))
            )
            for device, arm, start, *sums in self._rows(query)
        ]

    def latency(self, id_: str, arm: str, since: int) -> dict[str, NDArray[np.int64]]:
        """Return the latency histograms of an arm by device, [bins] each.

        Args:
            id_: of the experiment.
            arm: name of the arm.
            since: Unix seconds.
        """
        c = exposures.c
        query = select(c.device, c.detail).where(
            c.experiment == id_, c.arm == arm, c.start >= since, c.latency_n > 0
        )
        histograms: dict[str, NDArray[np.int64]] = {}
        for device, detail in self._rows(query):
            counts = np.asarray(detail["latency"], dtype=np.int64)
            histograms[device] = histograms[device] + counts if device in histograms else counts
        return histograms

    def shadow(self, id_: str, since: int) -> list[tuple[str, ShadowTotals]]:
        """Return the shadow reports of an experiment with the devices that they are of."""
        rows = self._details(id_, "shadow", since)
        return [(device, from_plain(ShadowTotals, detail)) for device, detail in rows]

    def interleave(self, id_: str, since: int) -> list[tuple[str, InterleaveTotals]]:
        """Return the interleaving reports of an experiment with the devices that they are of."""
        rows = self._details(id_, "interleave", since)
        return [(device, from_plain(InterleaveTotals, detail)) for device, detail in rows]

    def keys(self, id_: str, since: int) -> list[KeySums]:
        """Return sums by bucket of keys, by device and arm.

        Args:
            id_: of the experiment.
            since: Unix seconds.
        """
        c = exposures.c
        query = select(c.device, c.arm, c.detail).where(
            c.experiment == id_, c.kind == KEYS, c.start >= since
        )
        return [
            KeySums(device, arm, {name: np.array(row, np.float64) for name, row in detail.items()})
            for device, arm, detail in self._rows(query)
        ]

    def _details(self, id_: str, kind: str, since: int) -> Iterator[Sequence[Any]]:
        c = exposures.c
        where = (c.experiment == id_, c.kind == kind, c.start >= since)
        return self._rows(select(c.device, c.detail).where(*where))

    def _rows(self, query: Select[Any]) -> Iterator[Sequence[Any]]:
        with self._engine.connect() as db:
            yield from db.execute(query)


def sums_by_device(rows: list[ArmSums]) -> dict[tuple[str, str], ExposureSums]:
    """Return sums by (device, arm)."""
    totals: dict[tuple[str, str], ExposureSums] = defaultdict(ExposureSums)
    for row in rows:
        totals[row.device, row.arm] += row.sums
    return totals
