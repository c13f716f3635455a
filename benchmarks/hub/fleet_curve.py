"""The picture of docs/SCALE.md: how long fleets take that come back at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from benchmarks.hub.scale_row import ScaleRow

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 356, 32, 150, 48, 72
COLOUR: Final = "#2563a8"
FONT: Final = 'font-family="sans-serif" font-size="12"'


def curve(rows: Sequence[ScaleRow]) -> str:
    """Return the time until a fleet is back by its size, as an SVG.

    Args:
        rows: of fleets, smallest first; of those without ``memory`` the time is arithmetic.
    """
    points = [_place(row, rows) for row in rows]
    parts = [f'<text x="{LEFT}" y="20" {FONT}>time until a fleet that comes at once is back</text>']
    for row, (x, y) in zip(rows, points, strict=True):
        parts += _point(row, x, y)
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    parts.append(f'<polyline points="{line}" fill="none" stroke="{COLOUR}" stroke-width="2"/>')
    said = "devices; both axes are logarithmic"
    parts.append(f'<text x="{LEFT}" y="{HEIGHT - 12}" {FONT}>{said}</text>')
    box = f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
    ground = f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box}>{ground}{"".join(parts)}</svg>\n'


def _point(row: ScaleRow, x: float, y: float) -> list[str]:
    measured = "memory" in row.figures
    seconds = row.figures["seconds"]
    time = f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min"
    more = f"{row.figures['memory']:.0f} MB" if measured else "arithmetic"
    fill = COLOUR if measured else "white"
    return [
        f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>',
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{fill}" stroke="{COLOUR}"/>',
        f'<text x="{x + 10:.1f}" y="{y + 16:.1f}" {FONT}>{time}, {more}</text>',
        f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 38}" text-anchor="middle" {FONT}>'
        f"{row.figures['devices']:,.0f}</text>",
    ]


def _place(row: ScaleRow, rows: Sequence[ScaleRow]) -> tuple[float, float]:
    x = _share("devices", row, rows) * (WIDTH - LEFT - RIGHT - 40) + LEFT + 40
    y = (1 - _share("seconds", row, rows)) * (HEIGHT - TOP - BOTTOM) + TOP
    return x, y


def _share(figure: str, row: ScaleRow, rows: Sequence[ScaleRow]) -> float:
    """Return where a row lies between the smallest and the largest, on a logarithmic scale."""
    logs = [math.log10(each.figures[figure]) for each in rows]
    low, high = min(logs), max(logs)
    return (math.log10(row.figures[figure]) - low) / (high - low) if high > low else 0.5
