"""An event as programs get it (CloudEvents 1.0, JSON) and as people do. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from cloud_hub.events.event import StreamEvent
from cloud_hub.events.wording import words_of

LONGEST_BODY: Final = 64 << 10
"""Bytes of a body; evidence that is longer is left out, and ``/v1/events`` has it."""

LINES: Final = 20
"""Events that one message to people names; it says how many more there are."""


def cloud_event(event: StreamEvent, source: str) -> bytes:
    """Return an event as CloudEvents 1.0 in JSON.

    Args:
        event: that happened.
        source: the hub, as a URI; with the id it names the event for good.
    """
    about = [event.model, event.version, event.device]
    document: dict[str, Any] = {
        "specversion": "1.0",
        "id": str(event.id),
        "source": source,
        "type": event.type,
        "time": datetime.fromtimestamp(event.time, UTC).isoformat(timespec="milliseconds"),
        "datacontenttype": "application/json",
        "severity": event.severity,
    }
    if subject := "/".join(part for part in about if part):
        document["subject"] = subject
    told = {
        name: getattr(event, name)
        for name in ("kind", "model", "version", "device", "actor", "action")
    }
    body = _encoded({**document, "data": {**told, "detail": event.data}})
    if len(body) <= LONGEST_BODY:
        return body
    short = {k: v for k, v in event.data.items() if isinstance(v, int | float | str | None)}
    kept = {k: v[:2_000] if isinstance(v, str) else v for k, v in list(short.items())[:20]}
    return _encoded({**document, "data": {**told, "detail": kept, "shortened": True}})


def _encoded(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()


def title_of(events: Sequence[StreamEvent]) -> str:
    """Return the title of a message about events, in one line."""
    if len(events) > 1:
        worst = "critical" if any(e.severity == "critical" for e in events) else "news"
        return f"edge-hub: {len(events)} events ({worst})"
    event = events[0]
    about = " ".join(part for part in (event.model, event.version, event.device) if part)
    return f"[{event.severity}] {about or 'hub'}: {words_of(event)}"


def text_of(events: Sequence[StreamEvent]) -> str:
    """Return the text of a message about events: one or two lines for each."""
    lines = [line for event in events[:LINES] for line in _lines(event)]
    more = len(events) - LINES
    return "\n".join([*lines, *([f"and {more} more: edge-hub events"] if more > 0 else [])])


def _lines(event: StreamEvent) -> list[str]:
    at = datetime.fromtimestamp(event.time, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    about = " ".join(part for part in (event.model, event.version, event.device) if part)
    data = event.data
    said = data.get("says") or data.get("reason") or data.get("signal") or ""
    line = f"{at} {event.severity}: {words_of(event)}"
    line += f" · {about}" if about else ""
    line += f" · by {event.actor}" if event.actor != "hub" else ""
    todo = data.get("todo")
    return [_flat(f"{line}: {said}" if said else line), *([_flat(f"  → {todo}")] if todo else [])]


def _flat(text: str) -> str:
    """One line of bounded length, whatever a device or a person wrote into it."""
    return "".join(c if c.isprintable() else " " for c in text)[:600]
