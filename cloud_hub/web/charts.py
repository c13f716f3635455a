"""Small charts as inline SVG: no plotting library on the hub, no script in the page.

Colours are classes (``charts.css``), so that a page has its charts light or dark, and a strict
content policy lets them through; only numbers and escaped names are put into a chart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 220, 64, 12, 22, 30
SERIES: Final = 6
"""Colours that there are: classes ``s0`` to ``s5``."""


@dataclass(frozen=True)
class Line:
    """A named line of (time, value), with a band from ``low`` to ``high`` if there is one.

    ``begins`` are the indices of points at which it begins anew.
    """

    name: str
    points: Sequence[tuple[float, float]]
    band: Sequence[tuple[float, float, float]] = ()
    begins: Sequence[int] = ()

    def parts(self) -> list[slice]:
        """Stretches of points that are drawn in one go."""
        ends = [*(i for i in self.begins if 0 < i < len(self.points)), len(self.points)]
        return [slice(a, b) for a, b in zip([0, *ends], ends, strict=False)]


@dataclass(frozen=True)
class EventMark:
    """An event: a dotted line with a word."""

    at: float
    word: str


def chart(
    lines: Sequence[Line],
    *,
    marks: Sequence[EventMark] = (),
    levels: Sequence[tuple[float, str]] = (),
    limits: tuple[float, float] | None = None,
    label: str = "",
) -> str:
    """Return one line chart as SVG; empty without points.

    Args:
        lines: in the order of their colours; names are escaped by the caller.
        marks: events, in time.
        levels: (value, word) of horizontal lines.
        limits: of the vertical axis; from the data, if left out.
        label: what it shows, for who does not see it; the names of the lines, if left out.
    """
    times = [t for line in lines for t, _ in line.points] + [mark.at for mark in marks]
    if not any(line.points for line in lines):
        return ""
    start, end = min(times), max(times)
    low, high = limits or _limits(lines, levels)
    # At least a second wide: with one point there is no time axis to divide by.
    frame = _Frame(start, max(end, start + 1.0), low, high)
    parts = [frame.grid()]
    for i, line in enumerate(lines):
        parts.append(frame.line(line, f"s{i % SERIES}"))
    lowest = min((value for value, _ in levels), default=0.0)
    below = lowest if len(levels) > 1 else None
    parts += [frame.level(value, word, below=value == below) for value, word in levels]
    parts += [frame.mark(mark, i) for i, mark in enumerate(marks)]
    parts.append(legend([line.name for line in lines]))
    return svg(parts, HEIGHT, label or ", ".join(line.name for line in lines))


def svg(parts: Sequence[str], height: int, label: str) -> str:
    """Return a picture of the usual width.

    Args:
        parts: SVG elements.
        height: in pixels of the usual width.
        label: what it shows, escaped by the caller.
    """
    box = f'class="chart" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box}>{"".join(parts)}</svg>'


@dataclass(frozen=True)
class _Frame:
    start: float
    end: float
    low: float
    high: float

    def x(self, at: float) -> float:
        return LEFT + (at - self.start) / (self.end - self.start) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        inside = min(max(value, self.low), self.high)
        share = (inside - self.low) / (self.high - self.low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def grid(self) -> str:
        parts = []
        for value in ticks(self.low, self.high):
            y = self.y(value)
            parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" '
                         'class="grid"/>')  # fmt: skip
            parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" class="end">{value:,g}</text>')
        for i in range(5):
            at = self.start + (self.end - self.start) * i / 4
            text = _duration(at - self.start, self.end - self.start)
            anchor = ("start", "mid", "mid", "mid", "end")[i]
            parts.append(f'<text x="{self.x(at):.1f}" y="{HEIGHT - 8}" class="{anchor}">{text}'
                         "</text>")  # fmt: skip
        return "".join(parts)

    def line(self, line: Line, series: str) -> str:
        return "".join(self.part(line.points[p], line.band[p], series) for p in line.parts())

    def part(
        self,
        points: Sequence[tuple[float, float]],
        band: Sequence[tuple[float, float, float]],
        series: str,
    ) -> str:
        if not points:
            return ""
        above = [f"{self.x(t):.1f},{self.y(high):.1f}" for t, _, high in band]
        below = [f"{self.x(t):.1f},{self.y(low):.1f}" for t, low, _ in reversed(band)]
        area = f'<polygon points="{" ".join((*above, *below))}" class="band {series}"/>'
        path = " ".join(f"{self.x(t):.1f},{self.y(v):.1f}" for t, v in points)
        drawn = f'<polyline points="{path}" class="line {series}"/>'
        t, v = points[-1]
        dot = f'<circle cx="{self.x(t):.1f}" cy="{self.y(v):.1f}" r="2.5" class="{series}"/>'
        return (area if band else "") + drawn + dot

    def level(self, value: float, word: str, *, below: bool) -> str:
        y = self.y(value)
        line = f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="level"/>'
        at = y + 12 if below else y - 4
        return f'{line}<text x="{LEFT + 4}" y="{at:.1f}" class="start small">{word}</text>'

    def mark(self, mark: EventMark, number: int) -> str:
        # At the foot, where no word of a level stands; every other one a line higher, so that
        # neighbours can be read.
        x, foot = self.x(mark.at), HEIGHT - BOTTOM - 5 - 12 * (number % 2)
        line = f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" class="mark"/>'
        side = "end" if x > WIDTH * 0.8 else "start"
        at = x - 3 if side == "end" else x + 3
        return f'{line}<text x="{at:.1f}" y="{foot}" class="{side} small">{mark.word}</text>'


def _limits(lines: Sequence[Line], levels: Sequence[tuple[float, str]]) -> tuple[float, float]:
    values = [v for line in lines for _, v in line.points] + [value for value, _ in levels]
    for line in lines:  # bands are cut: the first ones are far wider than what matters
        ends = [(b[2] - b[1], b[1], b[2]) for b in line.band]
        if ends:
            _, low, high = sorted(ends)[len(ends) // 4]
            values += [low, high]
    low, high = min(values), max(values)
    gap = (high - low) * 0.08 or max(abs(high) * 0.1, 0.01)
    return low - gap, high + gap


def ticks(low: float, high: float) -> list[float]:
    """Return about four values between two, at 1, 2, 2.5 or 5 times a power of ten."""
    rough = (high - low) / 4
    power = 10 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough)
    first = math.ceil(low / step)
    return [round(i * step, 12) for i in range(first, math.floor(high / step) + 1)]


def _duration(seconds: float, whole: float) -> str:
    """In the unit that fits the ``whole`` axis."""
    for unit, size in (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if whole >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s" if whole >= 8 else f"{seconds:.1f} s"


def legend(names: Sequence[str]) -> str:
    """Return the names of series, in the order of their colours; escaped by the caller."""
    parts, x = [], float(LEFT)
    for i, name in enumerate(names):
        parts.append(f'<rect x="{x:.0f}" y="4" width="10" height="10" class="s{i % SERIES}"/>')
        parts.append(f'<text x="{x + 14:.0f}" y="13" class="start">{name}</text>')
        x += 30 + 7 * len(name)
    return "".join(parts)
