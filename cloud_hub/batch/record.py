"""What the hub knows of one generation of predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final, Literal

from cloud_hub.batch.layout import Layout
from edge_sdk.contract.codec import from_plain

Status = Literal["waiting", "running", "whole", "failed", "cancelled", "dropped"]
Cause = Literal["hand", "schedule", "promote", "backfill"]

UNFINISHED: Final = ("waiting", "running")


@dataclass(frozen=True)
class GenerationRecord:
    """One generation of a job. Times in Unix seconds; counts of what is finished.

    Attributes:
        id: number, over all models.
        model: whose entities are answered.
        job: name in the policy of the model.
        status: ``whole`` as soon as all of it can be read, and not before; ``dropped`` when what
            was kept of it is gone.
        cause: what asked for it.
        actor: who asked.
        as_of: moment that it is asked for; the source is told, and generations go by it.
        line: model that answers.
        version: of that line; empty until it is begun.
        digest: of that version's manifest.
        output: ``sql`` or ``parquet``.
        source: what was read, in words.
        layout: columns of the table as JSON; empty until it is begun.
        partitions: number of parts that it is computed in.
        done: parts that are whole.
        rows: in them.
        attempts: times that it was begun, kills and restarts included.
        created_at: when it was asked for.
        started_at: when it was begun first.
        computed_at: when it became whole.
        valid_until: when its answers stop to count.
        updated_at: when this record changed.
        peak_mb: largest memory of the process that computed it.
        reason: why it is what it is.
    """

    id: int
    model: str
    job: str
    status: Status
    cause: Cause
    actor: str
    as_of: float
    line: str
    version: str
    digest: str
    output: Literal["sql", "parquet"]
    source: str
    layout: Mapping[str, Any]
    partitions: int
    done: int
    rows: int
    attempts: int
    created_at: float
    started_at: float | None
    computed_at: float | None
    valid_until: float | None
    updated_at: float
    peak_mb: int
    reason: str

    @property
    def columns(self) -> Layout:
        """Columns of its table; only of one that was begun."""
        return from_plain(Layout, self.layout)

    @property
    def place(self) -> PurePosixPath:
        """Its folder, below that of all predictions."""
        return PurePosixPath(self.model) / self.job / str(self.id)
