"""Histograms as bars, in inline SVG; colours as in ``charts``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Final

from cloud_hub.web.charts import LEFT, RIGHT, TOP, WIDTH, svg, ticks

HEIGHT: Final = 180
BOTTOM: Final = 22
NARROW: Final = 34
"""Pixels that a name needs at least; where bins have less only every other has one, or fewer."""

LETTER: Final = 6
LONGEST: Final = 10
"""Pixels of a letter, and letters of a name that decide how many bins have one."""


def histogram(
    names: Sequence[str], before: Sequence[float], now: Sequence[float], *, label: str
) -> str:
    """Return two histograms over the same bins as one chart; empty where both are.

    Args:
        names: of the bins, as they came: escaped here.
        before: counts of the reference, one a bin; drawn as shares of their sum.
        now: counts of the window, alike.
        label: what it shows, for who does not see it.
    """
    first, second = _shares(before), _shares(now)
    if not names or not (sum(first) or sum(second)):
        return ""
    most = max(*first, *second) * 1.05
    step = (WIDTH - LEFT - RIGHT) / len(names)
    parts = [_grid(most), _key()]
    for i, (a, b) in enumerate(zip(first, second, strict=True)):
        left = LEFT + i * step
        parts.append(_bar(left + step * 0.08, step * 0.42, a / most, "before"))
        parts.append(_bar(left + step * 0.5, step * 0.42, b / most, "s0"))
    letters = min(LONGEST, max(len(name) for name in names))
    every = max(1, math.ceil(max(NARROW, LETTER * letters) / step))
    for i in range(0, len(names), every):
        x = LEFT + (i + 0.5) * step
        text = escape(_short(names[i], step * every))
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 6}" class="mid small">{text}</text>')
    return svg(parts, HEIGHT, escape(label))


def _shares(counts: Sequence[float]) -> list[float]:
    whole = sum(counts)
    return [count / whole if whole else 0.0 for count in counts]


def _bar(x: float, width: float, share: float, colour: str) -> str:
    height = share * (HEIGHT - TOP - BOTTOM)
    y = HEIGHT - BOTTOM - height
    place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect {place} class="{colour}"/>'


def _grid(most: float) -> str:
    parts = []
    for share in ticks(0.0, most):
        y = HEIGHT - BOTTOM - share / most * (HEIGHT - TOP - BOTTOM)
        ends = f'x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"'
        parts.append(f'<line {ends} class="grid"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" class="end">{share:.0%}</text>')
    return "".join(parts)


def _key() -> str:
    parts = []
    for x, colour, name in ((LEFT, "before", "reference"), (LEFT + 90, "s0", "now")):
        parts.append(f'<rect x="{x}" y="4" width="10" height="10" class="{colour}"/>')
        parts.append(f'<text x="{x + 14}" y="13" class="start">{name}</text>')
    return "".join(parts)


def _short(name: str, room: float) -> str:
    most = max(3, int(room / LETTER))
    return name if len(name) <= most else f"{name[: most - 1]}…"
