"""When an alarm opens, goes on and closes. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from cloud_hub.alarms.conditions import HubCondition

OPEN_SECONDS: Final = 60.0
"""A condition that is critical opens at once; others when they have held for so long."""

CLOSE_SECONDS: Final = 300.0
"""An alarm closes when its condition has not held for so long, so that one that comes and goes is
one alarm and not a hundred.
"""


@dataclass(frozen=True)
class AlarmChanges:
    """What to do: open those alarms, note that these hold, close those."""

    opened: tuple[HubCondition, ...]
    held: tuple[HubCondition, ...]
    closed: tuple[str, ...]


def changes(
    holding: Collection[HubCondition],
    since: Mapping[str, float],
    last_seen: Mapping[str, float],
    now: float,
) -> AlarmChanges:
    """Say what changes.

    Args:
        holding: conditions that hold.
        since: when each began to hold, Unix seconds by key.
        last_seen: when the condition of each open alarm held last, by key.
        now: Unix seconds.
    """
    opened, held, keys = [], [], set()
    for condition in holding:
        keys.add(condition.key)
        if condition.key in last_seen:
            held.append(condition)
        elif (
            condition.severity == "critical" or now - since.get(condition.key, now) >= OPEN_SECONDS
        ):
            opened.append(condition)
    # A clock that was set back closes nothing: it says what is wrong now, and not since when.
    closed = [k for k, seen in last_seen.items() if k not in keys and now - seen >= CLOSE_SECONDS]
    return AlarmChanges(tuple(opened), tuple(held), tuple(closed))
