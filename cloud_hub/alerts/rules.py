"""What a destination is told, and when. Pure: time and chance are arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal

from cloud_hub.alerts.quiet import is_quiet, quiet_window, time_zone
from cloud_hub.database.event_kinds import KINDS, SEVERITIES
from cloud_hub.errors import Invalid
from cloud_hub.events.event import EventFilter, StreamEvent

LONGEST_DIGEST: Final = 7 * 86_400.0

FIRST_WAIT: Final = 5.0
LONGEST_WAIT: Final = 3_600.0
"""Seconds between two tries: the first wait triples with each failure, up to the longest."""

LONGEST_RETRY_AFTER: Final = 86_400.0
"""For so long at most a receiver may put the next try off."""

GIVE_UP_SECONDS: Final = 3 * 86_400.0
"""A destination that has failed for so long is switched off, and an alarm says so."""

Turn = Literal["rest", "urgent", "all"]
"""What is sent now: nothing, what is critical, or everything that waits."""


@dataclass(frozen=True)
class AlertRules:
    """What a destination wants.

    Attributes:
        kinds: of events; empty for all.
        models: that events concern; empty for all, those of no model included.
        severity: the least.
        digest_seconds: from one message to the next; what is critical does not wait. 0: at once.
        quiet: windows such as ``Mon-Fri 22:00-06:00`` in which only what is critical is sent.
        zone: time zone of the windows.
    """

    kinds: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    severity: str = "warning"
    digest_seconds: float = 0.0
    quiet: tuple[str, ...] = ()
    zone: str = "UTC"

    def __post_init__(self) -> None:
        """Raise Invalid unless all of it makes sense."""
        if wrong := [kind for kind in self.kinds if kind not in KINDS]:
            raise Invalid(f"kind: expected one of {', '.join(KINDS)}, got {wrong[0]!r:.60}")
        if any(len(texts) > 100 for texts in (self.kinds, self.models, self.quiet)):
            raise Invalid("rules: expected at most 100 kinds, models and windows each")
        if self.severity not in SEVERITIES:
            raise Invalid(f"severity: expected one of {', '.join(SEVERITIES)}")
        if not 0 <= self.digest_seconds <= LONGEST_DIGEST:
            raise Invalid("digest: expected 0 to 7 days")
        time_zone(self.zone)
        for window in self.quiet:
            quiet_window(window)

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> AlertRules:
        """Return the rules as they are stored."""
        lists = {name: tuple(stored[name]) for name in ("kinds", "models", "quiet")}
        return cls(**{**stored, **lists})

    def wanted(self, *, urgent: bool) -> EventFilter:
        """Return which events are wanted; with ``urgent`` of those what is critical."""
        return EventFilter(self.kinds, self.models, "critical" if urgent else self.severity)


@dataclass(frozen=True)
class DestinationProgress:
    """How far a destination is.

    Attributes:
        cursor: id of the last event that was sent, or not wanted.
        urgent: the same of critical ones, which may be ahead of it.
        sent_at: when something was sent last, Unix seconds.
        attempts: failures in a row.
        try_at: earliest time of the next try, Unix seconds.
        failing_since: of the first of them, ``None`` if the last try succeeded.
        disabled: why nothing is sent, ``None`` if it is.
        silent_until: until when nothing is sent, Unix seconds.
    """

    cursor: int
    urgent: int = 0
    sent_at: float = 0.0
    attempts: int = 0
    try_at: float = 0.0
    failing_since: float | None = None
    disabled: str | None = None
    silent_until: float = 0.0


def turn(rules: AlertRules, progress: DestinationProgress, now: float) -> Turn:
    """Say what a destination is sent now.

    Args:
        rules: of the destination.
        progress: how far it is.
        now: Unix seconds.
    """
    # Before: a clock that was set back must not silence anybody for long.
    waits = now < progress.try_at <= now + LONGEST_RETRY_AFTER
    if progress.disabled is not None or now < progress.silent_until or waits:
        return "rest"
    is_early = 0 <= now - progress.sent_at < rules.digest_seconds
    return "urgent" if is_early or is_quiet(rules.quiet, rules.zone, now) else "all"


def to_send(
    events: Sequence[StreamEvent], progress: DestinationProgress, what: Turn
) -> tuple[StreamEvent, ...]:
    """Leave out what was sent ahead because it is critical.

    Args:
        events: that a destination wants.
        progress: how far it is.
        what: is sent now.
    """
    if what == "urgent":
        return tuple(event for event in events if event.severity == "critical")
    return tuple(e for e in events if e.severity != "critical" or e.id > progress.urgent)


def next_try(attempts: int, retry_after: float | None, chance: float) -> float:
    """Return the seconds to wait after a failure.

    Args:
        attempts: failures in a row, this one included.
        retry_after: seconds that the receiver asks for; ``None`` for none.
        chance: from 0 to 1; spreads receivers that failed together.
    """
    wait = min(LONGEST_WAIT, FIRST_WAIT * 3.0 ** min(attempts - 1, 20)) * (0.8 + 0.4 * chance)
    return max(wait, min(retry_after or 0.0, LONGEST_RETRY_AFTER))


def retry_after_seconds(value: str | None, now: float) -> float | None:
    """Return the seconds that a header ``Retry-After`` asks for; ``None`` if it says nothing.

    Args:
        value: seconds, or a date of HTTP.
        now: Unix seconds.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isdecimal() and text.isascii() and len(text) < 10:
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (TypeError, ValueError, OverflowError):
        return None
