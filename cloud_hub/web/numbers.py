"""Numbers as pages write them. Pure."""

from __future__ import annotations

import time
from typing import Final

SPANS: Final = (
    ("y", 365.25 * 86_400.0), ("d", 86_400.0), ("h", 3_600.0), ("min", 60.0), ("s", 1.0),
    ("ms", 1e-3), ("µs", 1e-6),
)  # fmt: skip
NOTHING: Final = "–"


def number_text(value: float | None) -> str:
    """Return a number with four digits that count; thousands have commas, what is next to 0 is 0.

    Figures of the hub are rounded sums of many terms: 1e-16 is what is left of a zero.
    """
    if value is None:
        return NOTHING
    if abs(value) >= 1e12:
        return f"{value:.2g}"
    if isinstance(value, int) or abs(value) >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.4g}" if abs(value) >= 1e-12 else "0"


def share_text(value: float | None) -> str:
    """Return a share between 0 and 1 as percent; all and nothing without digits."""
    if value is None:
        return NOTHING
    if value in (0, 1):
        return f"{value:.0%}"
    return f"{value:.2%}" if abs(value) >= 0.0001 else f"{100 * value:.1g}%"


def p_text(value: float | None) -> str:
    """Return a p-value; nobody needs to know how far below 1 in 10,000 it is."""
    if value is None:
        return NOTHING
    return "< 0.0001" if value < 0.0001 else f"{value:.2g}"


def byte_text(value: float | None) -> str:
    """Return bytes in the unit that fits, thousands each."""
    if value is None:
        return NOTHING
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 1_000:
            return f"{value:.3g} {unit}"
        value /= 1_000
    return f"{value:.3g} TB"


def span_text(seconds: float | None) -> str:
    """Return a time in the largest unit of which it is two, with two or three digits."""
    if seconds is None:
        return NOTHING
    for unit, size in SPANS:
        if abs(seconds) >= (2 * size if size >= 60 else size):
            return f"{seconds / size:.3g} {unit}"
    return "0 s" if not seconds else f"{seconds * 1e6:.2g} µs"


def time_text(at: float | None) -> str:
    """Return a time of Unix seconds, in UTC; empty for none."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at)) if at else ""


def ago_text(at: float | None, now: float) -> str:
    """Return the time from ``at`` to ``now``, Unix seconds, in its largest unit."""
    if not at:
        return "never"
    seconds = max(now - at, 0.0)
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size or (unit == "min" and seconds >= size):
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"
