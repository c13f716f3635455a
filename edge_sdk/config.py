"""Every number of the device that an application may want to change, with its unit."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from edge_sdk.errors import InputError


@dataclass(frozen=True)
class DeviceConfig:
    """How often the device talks, how much it keeps, how long it waits.

    Raises:
        InputError: a value that is none, such as a wait of no time.
    """

    sync_seconds: float = 60.0
    """Between two background syncs; each wait is jittered by up to a fifth."""

    retry_seconds: float = 5.0
    """First upper bound of the wait after a failed sync; it doubles up to ``retry_max_seconds``."""

    retry_max_seconds: float = 900.0

    heartbeat_seconds: float = 3_600.0
    """A check-in is sent at least this often, and whenever something changed."""

    fold_seconds: float = 0.1
    """Between two looks at the monitoring ring, which holds 16,384 predictions, in a background
    thread: beyond 160,000 predictions a second some go uncounted, and the report says how many."""

    monitoring: bool = True
    """Count what is predicted. Without it nothing is reported, no label can be matched, and a
    shadow gets no inputs."""

    kept_predictions: int = 1_000
    """The newest predictions of each window that are kept on disk for labels that come after a
    restart; 0 keeps none."""

    threads: int = 1
    """Threads that onnxruntime may use for one prediction."""

    outbox_bytes: int = 64 << 20
    """Messages that wait for the hub; beyond it the oldest are dropped, and counted."""

    request_seconds: float = 10.0
    """Connect and read timeout of a request that is not a prediction."""

    trial_errors: int = 3
    """Failed model calls within ``trial_seconds`` after which a device takes a release back."""

    trial_seconds: float = 600.0

    shadow_share: float = 0.1
    """Share of the time that a shadow may run, on one thread; what it does not get through is
    skipped, and counted."""

    shadow_seconds: float = 10.0
    """After which a shadow's call is taken to hang: it is aborted and the candidate given up."""

    def __post_init__(self) -> None:
        for field in fields(self):
            expected = _lacking(field.name, type(field.default), getattr(self, field.name))
            if expected:
                value = getattr(self, field.name)
                raise InputError("opening", f"{field.name}: expected {expected}, got {value!r:.60}")


def check_opening(config: Any, share: Any = False) -> None:
    """Refuse what is no configuration, or neither yes nor no to sharing rows."""
    if not isinstance(config, DeviceConfig):
        raise InputError("opening", f"config: expected a DeviceConfig, got {config!r:.60}")
    if not isinstance(share, bool):
        raise InputError("opening", f"share: expected True or False, got {share!r:.60}")


def _lacking(name: str, kind: type, value: Any) -> str:
    """What ``value`` should be and is not; empty if all is well."""
    if kind is bool:
        return "" if isinstance(value, bool) else "True or False"
    if isinstance(value, bool) or not isinstance(value, int if kind is int else int | float):
        return "an integer" if kind is int else "a number"
    if name == "shadow_share":
        return "" if 0 < value <= 1 else "more than 0 and at most 1"
    if kind is int:
        least = 0 if name == "kept_predictions" else 1
        return "" if value >= least else f"at least {least}"
    return "" if 0 < value < math.inf else "more than 0"
