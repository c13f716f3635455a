"""Spans of time as people write and read them. Pure."""

from __future__ import annotations

import re
from typing import Any, Final

from cloud_hub.errors import Invalid

SECONDS_OF: Final = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
"""Seconds of each unit that a person may write."""

WORDS: Final = (("days", 86_400.0), ("hours", 3_600.0), ("minutes", 60.0))

LONGEST: Final = 100 * 365 * 86_400.0
"""A hundred years: beyond, clocks and databases end."""

EXPECTED: Final = "seconds, or 90s, 10m, 36h, 7d, at most 100 years"
"""The end of a sentence that begins with "expected"."""

# re.ASCII: \d would else also match digits of other scripts, which float() reads and nobody means.
PATTERN: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)", re.ASCII)


def parse_duration(text: str) -> float:
    """Return the seconds in ``10m`` or ``90``.

    Raises:
        Invalid: not a duration, or longer than a hundred years.
    """
    seconds = duration_of(text)
    if seconds is None:
        raise Invalid(f"expected {EXPECTED}, got {text[:40]!r}")
    return seconds


def duration_of(value: Any) -> float | None:
    """Return the seconds in a text or a number, or ``None`` if it is no duration."""
    if isinstance(value, str):
        match = PATTERN.fullmatch(value.strip())
        value = float(match[1]) * SECONDS_OF[match[2] or "s"] if match else None
    # bool is an int in Python: "true" in a file is no time.
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if number and 0 <= value <= LONGEST else None


def compact_duration(seconds: float) -> str:
    """Return a duration as one writes it in a file: ``7d``, ``90s``. It parses back unchanged."""
    for unit in ("d", "h", "m"):
        if seconds and seconds % SECONDS_OF[unit] == 0:
            return f"{seconds / SECONDS_OF[unit]:.0f}{unit}"
    return f"{seconds:.0f}s" if seconds == int(seconds) else f"{seconds!r}s"


def format_duration(seconds: float) -> str:
    """Return a duration in words, in the largest unit that fits: ``2.5 days``, ``40 seconds``."""
    for name, size in WORDS:
        if seconds >= size:
            number = f"{seconds / size:.1f}".removesuffix(".0")
            return f"{number} {name.removesuffix('s') if number == '1' else name}"
    return f"{seconds:.0f} second{'' if round(seconds) == 1 else 's'}"
