"""The status of a device in sentences for people. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from typing import Any, Final

MINUTE, HOUR, DAY = 60.0, 3_600.0, 86_400.0
FAILURES: Final = 5
"""Refused releases that are named at most, the newest."""


def in_words(status: Mapping[str, Any], now: float) -> list[str]:
    """Return what a person wants to know of a device first, a sentence each.

    Args:
        status: as :meth:`edge_sdk.EdgeDevice.status` gives it, without its words.
        now: Unix seconds.
    """
    words = [sentence for model in status["models"].values() for sentence in model["words"]]
    if not status["offline"]:
        words += [_hub(status, now), *_window(status), *_waits(status)]
    return [*words, *_trouble(status)]


def of_model(status: Mapping[str, Any]) -> list[str]:
    """Return what a person wants to know of one model of a device, a sentence each.

    Args:
        status: as :meth:`edge_sdk.fleet.device_model.DeviceModel.status` gives it, without these.
    """
    return [_serves(status), *_update(status), *_files(status)]


def _serves(status: Mapping[str, Any]) -> str:
    name = status["name"]
    if status.get("version") is None:
        return f"Nothing of {name} serves: {status.get('lost') or 'no release has come yet'}."
    serves = f"{name} {status['version']} serves (variant {status['variant']})"
    if status.get("experiment"):
        serves += f" as arm {status['arm']} of {status['experiment']}"
    beside = ", ".join(f"{arm} ({version})" for arm, version in status.get("beside", {}).items())
    return f"{serves}; beside it {beside}." if beside else f"{serves}."


def _hub(status: Mapping[str, Any], now: float) -> str:
    answered, away = status.get("hub_answered"), status.get("hub_away")
    when = "never" if answered is None else f"{ago(now - answered)} ago"
    if status.get("refused"):
        return f"The hub refuses this device: {status['refused']}."
    if away:
        return f"The hub is away ({away}); it last answered {when}."
    return f"The hub last answered {when}."


def _update(status: Mapping[str, Any]) -> Iterator[str]:
    name, waits = status["name"], status.get("update_waits")
    if waits:
        what = f"The update of {name} to {waits['version']} waits at {waits['step']}"
        reason = _WAITS_FOR.get(waits["reason"], waits["reason"])
        yield f"{what} for {reason}, until {moment(waits['until'])} at the latest."
    elif status.get("phase", "idle") != "idle":
        yield f"An update of {name} is under way: {status['phase']}."
    for release, reason in list(status.get("failures", {}).items())[-FAILURES:]:
        yield f"Release {release:.12} of {name} was refused here: {reason}."


def _window(status: Mapping[str, Any]) -> Iterator[str]:
    if window := status.get("window"):
        until = moment(window["until"])
        yield f"The window for updates is {'open' if window['open'] else 'closed'} until {until}."


_WAITS_FOR: Final = {
    "window": "its window",
    "metered": "a network that does not cost",
    "spread": "its turn, since the whole fleet learned of it at once",
    "application": "the application's word",
}


def _waits(status: Mapping[str, Any]) -> Iterator[str]:
    waiting = status.get("waiting", 0)
    if waiting:
        yield f"{waiting} message{'s wait' if waiting > 1 else ' waits'} for the hub."
    if status.get("thrift"):
        yield f"On {' and '.join(status['thrift'])}: syncs are rare, and a shadow waits for power."
    if status.get("rejected"):
        yield f"The hub refused a message last: {status['rejected']}."


def _trouble(status: Mapping[str, Any]) -> Iterator[str]:
    storage = status.get("storage", {})
    if storage.get("state") == "memory":
        yield f"The disk takes nothing, the state is in memory: {storage['reason']}."


def _files(status: Mapping[str, Any]) -> Iterator[str]:
    for version, files in status.get("damaged", {}).items():
        for what in files.values():
            yield f"Damaged on the disk, of {status['name']} {version}: {what}."
    if status.get("prior_trouble"):
        yield f"{status['name']} serves without its personal prior: {status['prior_trouble']}."
    if status.get("ignored"):
        left_out = ", ".join(status["ignored"])
        yield f"Columns that are no features of {status['name']} are left out: {left_out}."


def ago(seconds: float) -> str:
    """Return a length of time for people; a clock that went back makes it none."""
    for unit, name in ((DAY, "days"), (HOUR, "hours"), (MINUTE, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{max(0.0, seconds):.0f} seconds"


def moment(seconds: float) -> str:
    """Return Unix seconds as local time; what no calendar has is said all the same."""
    try:
        return datetime.datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="minutes")
    except (OverflowError, ValueError, OSError):
        return "the end of time"
