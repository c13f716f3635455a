"""One device as a page shows it: what happened to it, in one line of time. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from cloud_hub.events.event import StreamEvent
    from cloud_hub.fleet.asks import DeviceAsk
    from cloud_hub.telemetry.service import DeviceEvent

OUTCOMES: Final = {
    "activated": "good", "installed": "info", "failed": "bad", "rolled_back": "bad",
}  # fmt: skip
"""Tones of what devices report of releases."""

ACTIONS: Final = {
    "ask-logs": "asked for its log", "ask-sync": "asked to sync", "revoke": "revoked",
    "approve": "approved",
}  # fmt: skip
"""Words of actions, where they are no words by themselves."""

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
    device: str, enrolled_at: float, stream: Iterable[StreamEvent], steps: Iterable[DeviceEvent]
) -> list[Happening]:
    """Return what happened to a device, newest first.

    Args:
        device: its name.
        enrolled_at: Unix seconds.
        stream: what the hub noted about it.
        steps: with releases, as it reported them.
    """
    moments = [_of_stream(device, event) for event in stream if event.action != "enrol"]
    moments += [_of_step(step) for step in steps]
    moments.append(Happening(enrolled_at, "Joined the fleet", "good", ""))
    moments.sort(key=lambda moment: -moment.at)
    # The first moment of its life stays, however much came after.
    return moments if len(moments) <= MOST else [*moments[: MOST - 1], moments[-1]]


class AskOnPage(NamedTuple):
    """A question to the device, as the page shows it.

    Attributes:
        ask: the question.
        what: that it is about, for people.
        word: how it stands, in a word.
        tone: of it.
        says: what that means, and what to do; empty where nothing is to be done.
    """

    ask: DeviceAsk
    what: str
    word: str
    tone: str
    says: str


ASK_STATES: Final = {
    "open": ("waits", "info", "The device hears of it when it next talks with the hub."),
    "answered": ("answered", "good", ""),
    "refused": (
        "refused", "warn",
        "Its owner does not allow it: the application says DeviceConfig(logs=True), or edge run "
        "--send-log, where it may.",
    ),
    "expired": ("not answered", "warn", "It did not come within a day, or its SDK is older."),
}  # fmt: skip
"""By state: a word, its tone, what it means."""


def asks_view(asks: Iterable[DeviceAsk], now: float) -> list[AskOnPage]:
    """Return what a device was asked, newest first.

    Args:
        asks: newest first.
        now: Unix seconds.
    """
    whats = {"logs": "log", "sync": "sync"}
    return [AskOnPage(ask, whats[ask.kind], *ASK_STATES[ask.state(now)]) for ask in asks]


def _of_stream(device: str, event: StreamEvent) -> Happening:
    shown = {name: value for name, value in event.data.items() if name != "device" and value}
    text = ", ".join(f"{name}: {value}" for name, value in shown.items())
    tone = {"revoke": "bad", "cloned": "bad", "flagged": "warn", "approve": "good"}
    by = "" if event.actor == device else event.actor
    what = ACTIONS.get(event.action, event.action)
    return Happening(event.time, what, tone.get(event.action, "info"), text[:600], by)


def _of_step(event: DeviceEvent) -> Happening:
    parts = [event.step, event.reason]
    text = ": ".join(part for part in parts if part)
    what = f"{event.outcome.replace('_', ' ')} {event.version}"
    if event.experiment:
        text = f"{text} (experiment {event.experiment})".strip()
    return Happening(float(event.at), what, OUTCOMES.get(event.outcome, "info"), text[:600])
