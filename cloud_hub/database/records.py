"""Records that several features pass on; the feature that owns the table reads them from it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DeviceRecord:
    """A device, as it last said it is. Times are Unix seconds."""

    device: str
    model: str
    enrolled_at: float
    seen_at: float
    attributes: dict[str, str]
    version: str | None
    plan: int
    pack: str | None
    phase: str
    failed: list[str]
    waiting: int
    sharing: bool
    software: dict[str, str]
