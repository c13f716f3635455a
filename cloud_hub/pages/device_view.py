"""One device as a page shows it: what happened to it, in one line of time. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cloud_hub.database.audit import AuditEntry
    from cloud_hub.telemetry.service import DeviceEvent

OUTCOMES: Final = {
    "activated": "good", "installed": "info", "failed": "bad", "rolled_back": "bad",
}  # fmt: skip
"""Tones of what devices report of releases."""

MOST: Final = 100
"""Moments that are shown."""


@dataclass(frozen=True)
class Happening:
    """Something that happened to a device.

    Attributes:
        at: Unix seconds, by the hub's clock for what people did and the device's for its own.
        what: in a word or two.
        tone: of it.
        text: why, or what else is known.
        by: who did it; empty for the device itself.
    """

    at: float
    what: str
    tone: str
    text: str
    by: str = ""


def timeline(
    device: str, enrolled_at: float, entries: Iterable[AuditEntry], events: Iterable[DeviceEvent]
) -> list[Happening]:
    """Return what happened to a device, newest first.

    Args:
        device: its name.
        enrolled_at: Unix seconds.
        entries: of the audit that are about it.
        events: that it reported.
    """
    moments = [_of_entry(device, entry) for entry in entries if entry.action != "enrol"]
    moments += [_of_event(event) for event in events]
    moments.append(Happening(enrolled_at, "enrolled", "good", ""))
    moments.sort(key=lambda moment: -moment.at)
    # The first moment of its life stays, however much came after.
    return moments if len(moments) <= MOST else [*moments[: MOST - 1], moments[-1]]


def _of_entry(device: str, entry: AuditEntry) -> Happening:
    shown = {name: value for name, value in entry.detail.items() if name != "device"}
    text = ", ".join(f"{name}: {value}" for name, value in shown.items())
    tone = {"revoke": "bad", "cloned": "bad", "flagged": "warn", "approve": "good"}
    by = "" if entry.actor == device else entry.actor
    return Happening(entry.at, entry.action, tone.get(entry.action, "info"), text[:600], by)


def _of_event(event: DeviceEvent) -> Happening:
    parts = [event.step, event.reason]
    text = ": ".join(part for part in parts if part)
    what = f"{event.outcome.replace('_', ' ')} {event.version}"
    if event.experiment:
        text = f"{text} (experiment {event.experiment})".strip()
    return Happening(float(event.at), what, OUTCOMES.get(event.outcome, "info"), text[:600])


def about(device: str, entries: Sequence[AuditEntry]) -> list[AuditEntry]:
    """Return those entries that a device made, or that name it."""
    return [each for each in entries if each.actor == device or each.detail.get("device") == device]
