"""Output of the ``edge`` commands: aligned text for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

EVENTS: Final = 5
"""Newest events of a device that its status shows to people."""


def show(value: Mapping[str, Any], *, as_json: bool) -> None:
    """Print ``value``: one line for each fact, or all of it as JSON.

    Args:
        value: plain values by name; what is nested gets names such as ``resources.rss_mb``.
        as_json: print JSON instead.
    """
    if as_json:
        print_json(value)
        return
    facts = list(_facts(value))
    width = max((len(name) for name, _ in facts), default=0)
    for name, text in facts:
        print(f"{name:<{width}}  {text}".rstrip())


def show_status(status: Mapping[str, Any], *, as_json: bool) -> None:
    """Print the status of a device: for people sentences and events first, its own model once.

    Args:
        status: as :meth:`edge_sdk.EdgeDevice.status` gives it.
        as_json: print JSON instead, with all of it.
    """
    if as_json:
        print_json(status)
        return
    happened = [f"{local_time(e['at'])}  {e['text']}" for e in status.get("events", ())[-EVENTS:]]
    print(*status.get("words", ()), *happened, "", sep="\n")
    own = status.get("name")
    others = {name: model for name, model in status.get("models", {}).items() if name != own}
    told = ("words", "events", "models", "hub_answered")  # in words above, or below
    facts = {name: value for name, value in status.items() if name not in told}
    show(facts | ({"models": others} if others else {}), as_json=False)


def print_json(value: Any) -> None:
    """Print ``value`` as JSON on several lines."""
    print(json.dumps(value, indent=2, default=str))


def progress(text: str) -> None:
    """Say on standard error what is being done, where somebody sits at a terminal."""
    if sys.stderr is not None and sys.stderr.isatty():
        print(text, file=sys.stderr)


def local_time(at: float) -> str:
    """Return Unix seconds as local time in ISO format."""
    return datetime.fromtimestamp(at).astimezone().isoformat(timespec="seconds")


def _facts(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, item in value.items():
        if isinstance(item, Mapping) and item:
            yield from _facts(item, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _text(item)


def _text(value: Any) -> str:
    if value is None or (isinstance(value, Mapping | list | tuple) and not value):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return _joined(map(_text, value))
    return str(value)


def _joined(texts: Iterable[str]) -> str:
    return ", ".join(texts)
