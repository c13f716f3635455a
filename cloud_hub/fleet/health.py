"""The health of a device, from its last check-in and the plan. Pure."""

from __future__ import annotations

from typing import Literal

Health = Literal["pending", "unreachable", "failed", "healthy"]

UNREACHABLE_SECONDS = 2 * 3_600.0
"""Twice the heartbeat of a device with default settings."""


def health(
    *,
    serial: int | None,
    plan: int,
    failed: bool,
    seen_at: float,
    now: float,
    unreachable_after: float = UNREACHABLE_SECONDS,
) -> Health:
    """Return the health of a device.

    Args:
        serial: newest plan of the model, ``None`` if it has none.
        plan: serial of the plan that the device follows, as it reported.
        failed: the device reported that the release of the newest plan failed on it.
        seen_at: when it was last heard of, Unix seconds.
        now: Unix seconds.
        unreachable_after: seconds of silence that count as unreachable.
    """
    if now - seen_at > unreachable_after:
        return "unreachable"
    if failed:
        return "failed"
    return "pending" if serial is not None and plan < serial else "healthy"
