"""When a batch job is due, and which of its generations are kept. Pure: time is an argument."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from cronsim import CronSim

if TYPE_CHECKING:
    from cloud_hub.batch.record import Cause, GenerationRecord
    from cloud_hub.policy.schema.batch import BatchJob


AHEAD_SECONDS: Final = 300.0
"""How far in front of now a moment may be; further ones were asked for while a clock was wrong."""


@dataclass(frozen=True)
class Due:
    """A generation that a schedule asks for: why, and for which moment (Unix seconds)."""

    cause: Cause
    as_of: float


def due(
    job: BatchJob,
    asked: Sequence[GenerationRecord],
    serving: str | None,
    *,
    since: float,
    now: float,
) -> Due | None:
    """Return what the schedule of a job asks for now, if anything.

    However long the hub was away, it is one generation: those of the times between would be of
    the same source.

    Args:
        job: with its schedule.
        asked: its generations, oldest first, whatever became of them; backfills do not count.
        serving: digest of the version that would answer; ``None``: nothing serves.
        since: when the hub knew the job first, in Unix seconds.
        now: Unix seconds.
    """
    if serving is None:
        return None
    # Of a moment to come there is none, or a clock that was wrong once would stop the schedule.
    known = [record for record in asked if record.as_of <= now + AHEAD_SECONDS]
    counted = [record for record in known if record.cause != "backfill"]
    last = counted[-1] if counted else None
    if job.cron is not None:
        anchor = max([since, *(r.as_of for r in counted if r.cause == "schedule")])
        came = before(job.cron, job.timezone, now)
        if came is not None and came > anchor:
            return Due("schedule", came)
    if job.every_seconds is not None and (last is None or now - last.as_of >= job.every_seconds):
        return Due("schedule", now)
    if job.after_promote and (last is None or last.digest not in ("", serving)):
        return Due("promote", now)
    return None


def before(line: str, timezone: str, now: float) -> float | None:
    """Return the last time of a cron line that is not after ``now``, in Unix seconds."""
    moment = datetime.datetime.fromtimestamp(now, ZoneInfo(timezone))
    # cronsim's times are before the one that it begins at; the next minute lets this one count.
    later = moment.replace(second=0, microsecond=0) + datetime.timedelta(minutes=1)
    try:
        return next(CronSim(line, later, reverse=True)).timestamp()
    except StopIteration:
        return None


def upcoming(job: BatchJob, last: GenerationRecord | None, now: float) -> float | None:
    """Return when the clock asks next, in Unix seconds; ``None`` for a job without a clock."""
    if job.cron is not None:
        moment = datetime.datetime.fromtimestamp(now, ZoneInfo(job.timezone))
        return next(CronSim(job.cron, moment)).timestamp()
    if job.every_seconds is not None:
        return now if last is None else max(now, last.as_of + job.every_seconds)
    return None


def in_front(record: GenerationRecord, now: float) -> tuple[bool, float, int]:
    """Return by what generations that are whole are ordered; the largest answers.

    By the moment that they are for: a backfill of the past is never in front of what a schedule
    has made since. Moments to come are behind all others.
    """
    return record.as_of <= now + AHEAD_SECONDS, record.as_of, record.id


def retired(
    whole: Sequence[GenerationRecord], job: BatchJob | None, now: float
) -> list[GenerationRecord]:
    """Return the generations that the policy keeps no longer; never the one that answers.

    Args:
        whole: those of one job that can be read.
        job: ``None`` if the policy has it no more: the newest stays.
        now: Unix seconds.
    """
    keep = job.keep if job is not None else 1
    life = job.keep_backfills_seconds if job is not None else 0.0
    newest = sorted(whole, key=lambda record: in_front(record, now))[::-1]
    current = newest[:1]
    kept = [record for record in newest if record.cause != "backfill"][:keep]
    return [
        record
        for record in newest
        if record not in current
        and record not in kept
        and not (record.cause == "backfill" and now - (record.computed_at or now) < life)
    ]
