"""How a device is, from what the hub knows of it. Pure."""

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
    """The health of a device that follows ``plan`` where ``serial`` is the newest.

    Args:
        serial: newest plan of the model, ``None`` if it has none.
        plan: the plan that the device said it follows.
        failed: the device reported a failure of what the newest plan gives it.
        seen_at: when it was last heard of, Unix seconds.
        now: Unix seconds.
        unreachable_after: seconds of silence that count as unreachable.
    """
    if now - seen_at > unreachable_after:
        return "unreachable"
    if failed:
        return "failed"
    return "pending" if serial is not None and plan < serial else "healthy"
