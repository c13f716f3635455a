"""What the devices noted themselves: the demo's evidence beside the hub's."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

Line = dict[str, Any]


def answers(path: Path, since: float = 0.0) -> list[Line]:
    """The answers in a journal, from ``since`` (Unix seconds) on; a torn last line is left out."""
    found = []
    for text in path.read_text().splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if "source" in line and line["t"] >= since:
            found.append(line)
    return found


def device_name(path: Path) -> str:
    """The device's id, as the hub named it."""
    lines = (json.loads(text) for text in path.read_text().splitlines())
    return str(next(line["device"] for line in lines if "device" in line))


def sources(lines: list[Line]) -> Counter[str]:
    """How many answers came from where."""
    return Counter(line["source"] for line in lines)


def accuracy(lines: list[Line]) -> float:
    """Share of right answers; 0 without any."""
    return sum(line["ok"] for line in lines) / len(lines) if lines else 0.0


def longest_gap(lines: list[Line]) -> float:
    """The longest time in seconds without an answer."""
    times = [line["t"] for line in lines]
    return max((b - a for a, b in pairwise(times)), default=0.0)
