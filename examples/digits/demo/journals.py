"""Journals of the devices: the demo's own evidence, to compare with the hub's."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

Line = dict[str, Any]


def answers(path: Path, since: float = 0.0) -> list[Line]:
    """Return the answers in a journal, from ``since`` (Unix seconds) on."""
    lines = []
    for text in path.read_text().splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue  # the last line of a device that was killed while it wrote
        if "source" in line and line["t"] >= since:
            lines.append(line)
    return lines


def device_name(path: Path) -> str:
    """Return the device's id, as the hub named it."""
    lines = (json.loads(text) for text in path.read_text().splitlines())
    return str(next(line["device"] for line in lines if "device" in line))


def sources(lines: list[Line]) -> Counter[str]:
    """Count answers by source."""
    return Counter(line["source"] for line in lines)


def accuracy(lines: list[Line]) -> float:
    """Return the share of right answers; 0 without any."""
    return sum(line["ok"] for line in lines) / len(lines) if lines else 0.0


def longest_gap(lines: list[Line]) -> float:
    """Return the longest time in seconds without an answer."""
    times = [line["t"] for line in lines]
    return max((b - a for a, b in pairwise(times)), default=0.0)
