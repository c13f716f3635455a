"""Spans of time, for people."""

from __future__ import annotations

from typing import Final

UNITS: Final = (("days", 86_400.0), ("hours", 3_600.0), ("minutes", 60.0))


def spoken(seconds: float) -> str:
    """Such as ``2.5 days``, ``12 minutes`` or ``40 seconds``: in the largest unit that fits."""
    for name, size in UNITS:
        if seconds >= size:
            number = f"{seconds / size:.1f}".removesuffix(".0")
            return f"{number} {name.removesuffix('s') if number == '1' else name}"
    return f"{seconds:.0f} second{'' if round(seconds) == 1 else 's'}"
