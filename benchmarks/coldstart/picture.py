"""Accuracy by labels as a small SVG."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Final

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 320, 56, 16, 34, 64
COLOURS: Final = ("#2563a8", "#5b6470", "#2a7d4f", "#c2571a", "#7a4fa3")
FONT: Final = 'font-family="sans-serif" font-size="12"'
GRID: Final = 5


def curves(counts: Sequence[int], accuracies: Mapping[str, Sequence[float]], title: str) -> str:
    """Return accuracies [counts] by name as a picture; counts are spaced evenly.

    Args:
        counts: of labels.
        accuracies: shares by the name of the line.
        title: above the picture.
    """
    values = [value for line in accuracies.values() for value in line]
    low, high = min(values), max(values)
    margin = max(0.01, 0.08 * (high - low))
    low, high = low - margin, high + margin
    parts = [f'<text x="{LEFT}" y="18" {FONT}>{html.escape(title)}: accuracy by labels</text>']
    for i in range(GRID):
        value = low + (high - low) * i / (GRID - 1)
        y = _y(value, low, high)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="8" y="{y + 4:.1f}" {FONT}>{value:.0%}</text>')
    for i, count in enumerate(counts):
        x = _x(i, len(counts))
        text = f'y="{HEIGHT - BOTTOM + 18}" text-anchor="middle" {FONT}'
        parts.append(f'<text x="{x:.1f}" {text}>{count}</text>')
    for i, (name, line) in enumerate(accuracies.items()):
        parts.append(_line(i, name, line, low, high))
    box = f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
    ground = f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box}>{ground}{"".join(parts)}</svg>\n'


def _line(i: int, name: str, line: Sequence[float], low: float, high: float) -> str:
    colour = COLOURS[i % len(COLOURS)]
    points = " ".join(
        f"{_x(j, len(line)):.1f},{_y(value, low, high):.1f}" for j, value in enumerate(line)
    )
    x, y = LEFT + 165 * i, HEIGHT - 16
    return (
        f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
        f'<path d="M{x} {y - 4}h16" stroke="{colour}" stroke-width="3"/>'
        f'<text x="{x + 20}" y="{y}" {FONT}>{html.escape(name)}</text>'
    )


def _x(i: int, count: int) -> float:
    return LEFT + (WIDTH - RIGHT - LEFT) * (i + 0.5) / count


def _y(value: float, low: float, high: float) -> float:
    return TOP + (HEIGHT - BOTTOM - TOP) * (high - value) / (high - low)
