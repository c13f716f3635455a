"""A batch job as it stands, for people. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloud_hub.batch.record import UNFINISHED
from cloud_hub.batch.schedule import upcoming

if TYPE_CHECKING:
    from cloud_hub.batch.record import GenerationRecord
    from cloud_hub.policy.schema.batch import BatchJob


@dataclass(frozen=True)
class JobStatus:
    """A job of a policy as it stands.

    Attributes:
        model: whose entities are answered.
        job: its name.
        line: model that answers.
        current: generation that answers; ``None`` until there is one.
        active: one that waits or runs.
        last: the newest, whatever became of it.
        next_at: when the clock asks next, in Unix seconds.
        kept: generations that can be read.
    """

    model: str
    job: str
    line: str
    current: GenerationRecord | None
    active: GenerationRecord | None
    last: GenerationRecord | None
    next_at: float | None
    kept: int


def status_of(
    records: Sequence[GenerationRecord],
    current: GenerationRecord | None,
    *,
    model: str,
    name: str,
    line: str,
    job: BatchJob,
    now: float,
) -> JobStatus:
    """Return the status of a job.

    Args:
        records: its generations, oldest first.
        current: the one that answers.
        model: whose entities are answered.
        name: of the job.
        line: model that answers.
        job: as the policy has it.
        now: Unix seconds.
    """
    scheduled = [record for record in records if record.cause != "backfill"]
    active = [record for record in records if record.status in UNFINISHED]
    return JobStatus(
        model, name, line, current,
        active[-1] if active else None,
        records[-1] if records else None,
        upcoming(job, scheduled[-1] if scheduled else None, now),
        sum(record.status == "whole" for record in records),
    )  # fmt: skip


def source_text(job: BatchJob) -> str:
    """Return what a job reads, in words, without a password."""
    source = job.source
    for name in ("query", "table", "parquet", "csv", "entities"):
        value = getattr(source, name)
        if value is not None:
            return f"{name}: {value}"[:300]
    return ""
