"""The health of a device, from how it last said it is and how often it is heard of. Pure.

A device says how often it contacts its hub, and silence is measured by that: a kiosk that syncs
once a minute is missed after minutes, a battery-powered logger that syncs twice a day is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from cloud_hub.database.records import DeviceRecord
    from edge_sdk.contract.plan import Plan

Health = Literal["pending", "late", "lost", "failed", "healthy"]
"""``pending``: has not followed the newest plan yet. ``late``: was not heard of when it should have
been. ``lost``: for so long that nobody expects it back by itself. ``failed``: what serves failed
on it.
"""

USUAL_SECONDS: Final = 3_600.0
"""Interval of a device that does not say its own: software that was older said so once an hour."""

SLACK_SECONDS: Final = 120.0
"""Longest that the small requests of one sync take; see ``conversation_seconds`` of a device."""

LATE: Final = 2.0
"""Intervals of silence that count as late: one contact may be lost, and each comes at up to 1.2."""

LOST: Final = 10.0
LEAST_LOST_SECONDS: Final = 1_800.0
"""Twice as long as a device waits at most between two tries (``retry_max_seconds``): after the hub
was away itself, nobody is lost."""


def late_after(interval: float | None) -> float:
    """Return the seconds of silence after which a device is late.

    Args:
        interval: seconds from one contact to the next, as the device said; ``None`` if it did not.
    """
    return LATE * _usual(interval) + SLACK_SECONDS


def lost_after(interval: float | None) -> float:
    """Return the seconds of silence after which a device is lost; argument as above."""
    return max(LOST * _usual(interval), LEAST_LOST_SECONDS) + SLACK_SECONDS


def health(
    *,
    serial: int | None,
    plan: int,
    failed: bool,
    seen_at: float,
    now: float,
    interval: float | None = None,
) -> Health:
    """Return the health of a device.

    Args:
        serial: newest plan of the model, ``None`` if it has none.
        plan: serial of the plan that the device follows, as it reported.
        failed: the device reported that the release of the newest plan failed on it.
        seen_at: when it was last heard of, Unix seconds.
        now: Unix seconds.
        interval: seconds from one contact to the next, as the device said; ``None`` if it did not.
    """
    silent = now - seen_at
    if silent > lost_after(interval):
        return "lost"
    if failed:
        return "failed"
    if silent > late_after(interval):
        return "late"
    return "pending" if serial is not None and plan < serial else "healthy"


def health_of(record: DeviceRecord, plan: Plan | None, now: float) -> Health:
    """Return the health of a model on a device.

    Args:
        record: as the device last said it is.
        plan: newest of the model, if it has one.
        now: Unix seconds.
    """
    serving = plan.serving.manifest if plan else None
    return health(
        serial=plan.serial if plan else None,
        plan=record.plan,
        # A device names a slot: the SHA-256 of the manifest, then those of its packs.
        failed=serving is not None and any(name.startswith(serving) for name in record.failed),
        seen_at=record.seen_at,
        now=now,
        interval=record.interval,
    )


def state_of(record: DeviceRecord, plan: Plan | None, now: float) -> str:
    """Return the state of a device: its health while it takes part, else its standing."""
    if record.standing == "active":
        return health_of(record, plan, now)
    return "waiting" if record.standing == "pending" else record.standing


def _usual(interval: float | None) -> float:
    return USUAL_SECONDS if interval is None else interval
