"""When an alarm opens, goes on and closes. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from cloud_hub.alarms.conditions import HubCondition
from cloud_hub.settings import AlarmSettings


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
    waits: AlarmSettings = AlarmSettings(),
) -> AlarmChanges:
    """Say what changes.

    Args:
        holding: conditions that hold.
        since: when each began to hold, Unix seconds by key.
        last_seen: when the condition of each open alarm held last, by key.
        now: Unix seconds.
        waits: how long a condition is there before its alarm opens, and gone before it closes.
    """
    opened, held, keys = [], [], set()
    opens, closes = waits.open_seconds, waits.close_seconds
    for condition in holding:
        keys.add(condition.key)
        if condition.key in last_seen:
            held.append(condition)
        elif condition.severity == "critical" or now - since.get(condition.key, now) >= opens:
            opened.append(condition)
    # A clock that was set back closes nothing: it says what is wrong now, and not since when.
    closed = [k for k, seen in last_seen.items() if k not in keys and now - seen >= closes]
    return AlarmChanges(tuple(opened), tuple(held), tuple(closed))
