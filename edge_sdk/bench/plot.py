"""Plots of a run: a self-contained HTML page, or an image if matplotlib is installed."""

from __future__ import annotations

import html
import importlib.util
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from edge_sdk.bench.markdown import figure, goal_of
from edge_sdk.bench.result import BenchResult, Timing, save
from edge_sdk.errors import BenchError

HTML: Final = ".html"
DRAWN: Final = (".png", ".svg", ".pdf")
_WIDTH, _LABEL, _BAR = 460, 260, 18

_STYLE: Final = """body{font:14px system-ui,sans-serif;margin:2em;max-width:60em}
table{border-collapse:collapse}
td,th{padding:.2em .8em;border-bottom:1px solid #8884;text-align:left}
.no{color:#b00020;font-weight:bold}.yes{color:#08702a}
svg text{font:12px system-ui;fill:currentColor}
@media(prefers-color-scheme:dark){body{background:#111;color:#ddd}.no{color:#f77}.yes{color:#7d7}}"""


def write_plot(result: BenchResult, path: Path) -> None:
    """Draw ``result`` to ``path``: ``.html`` without any library, others with matplotlib.

    Raises:
        BenchError: the suffix is unknown, matplotlib is missing, or the file cannot be written.
    """
    check_kind(path)
    suffix = path.suffix.lower()
    drawn = to_html(result).encode() if suffix == HTML else _drawn(result, suffix[1:])
    save(path, drawn)


def check_kind(path: Path) -> None:
    """Refuse a path that :func:`write_plot` cannot draw.

    Raises:
        BenchError: the suffix is unknown, or matplotlib is missing.
    """
    suffix = path.suffix.lower()
    if suffix not in (HTML, *DRAWN):
        raise BenchError(f"{path}: expected a plot as {HTML}, {', '.join(DRAWN)}")
    if suffix != HTML and importlib.util.find_spec("matplotlib") is None:
        raise BenchError(
            f"{path}: drawing it needs matplotlib: pip install edge-deployment-sdk[plot], or ask "
            f"for {HTML}"
        )


def to_html(result: BenchResult) -> str:
    """Return a page with a chart per group of latencies, the table of goals, and the machine."""
    charts = "".join(
        f"<h2>{html.escape(group)}</h2>{_chart(timings)}" for group, timings in _groups(result)
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(result.target)}'
        f"</title><style>{_STYLE}</style><h1>{html.escape(result.target)}</h1>"
        f"<p>Bars are medians in microseconds a call, lines reach to the 99th percentile.</p>"
        f"{charts}<h2>Goals</h2>{_claims(result)}<p>{_machine(result)}</p></html>\n"
    )


def _groups(result: BenchResult) -> list[tuple[str, list[Timing]]]:
    timings = result.findings.timings
    names = dict.fromkeys(timing.group for timing in timings)
    return [(group, [t for t in timings if t.group == group]) for group in names]


def _chart(timings: Sequence[Timing]) -> str:
    scale = _WIDTH / max(timing.p99_us for timing in timings)
    height = len(timings) * (_BAR + 8)
    bars = "".join(_bar(timing, i * (_BAR + 8), scale) for i, timing in enumerate(timings))
    return f'<svg width="{_LABEL + _WIDTH + 140}" height="{height}" role="img">{bars}</svg>'


def _bar(timing: Timing, y: int, scale: float) -> str:
    end, middle = _LABEL + timing.p99_us * scale, y + _BAR / 2
    return (
        f'<text x="{_LABEL - 8}" y="{y + 14}" text-anchor="end">{html.escape(timing.name)}</text>'
        f'<rect x="{_LABEL}" y="{y}" width="{timing.p50_us * scale:.1f}" height="{_BAR}" '
        f'fill="#3b6fb6"/><line x1="{_LABEL}" x2="{end:.1f}" y1="{middle}" y2="{middle}" '
        f'stroke="#d08a2e" stroke-width="3"/><text x="{end + 6:.1f}" y="{y + 14}">'
        f"{timing.p50_us:,.2f} / {timing.p99_us:,.2f}</text>"
    )


def _claims(result: BenchResult) -> str:
    words = {True: "yes", False: "no", None: ""}
    rows = "".join(
        f"<tr><td>{c.row}<td>{html.escape(c.what)}<td>{goal_of(c)}"
        f'<td>{html.escape(figure(c.measured, c.unit))}<td class="{words[c.met]}">{words[c.met]}'
        for c in sorted(result.findings.claims, key=lambda claim: claim.row)
    )
    return f"<table><tr><th>row<th>measured<th>goal<th>result<th>met{rows}</table>"


def _machine(result: BenchResult) -> str:
    return html.escape(", ".join(f"{name} {value}" for name, value in result.machine.items()))


def _drawn(result: BenchResult, kind: str) -> bytes:
    import matplotlib

    # Draws without a display.
    matplotlib.use("agg")
    from matplotlib import pyplot

    groups = _groups(result) or [("no latencies were measured", [])]
    heights = [len(timings) + 1.2 for _, timings in groups]
    figure, places = pyplot.subplots(
        len(groups), 1, figsize=(9, 0.34 * sum(heights) + 0.6), height_ratios=heights, squeeze=False
    )
    for axes, (group, timings) in zip(places[:, 0], groups, strict=True):
        _draw_group(axes, group, timings)
    places[-1, 0].set_xlabel("microseconds a call: median, and line to the 99th percentile")
    figure.tight_layout()
    content = io.BytesIO()
    figure.savefig(content, format=kind, dpi=110)
    pyplot.close(figure)
    return content.getvalue()


def _draw_group(axes: object, group: str, timings: Sequence[Timing]) -> None:
    from matplotlib.axes import Axes

    assert isinstance(axes, Axes)
    names = [timing.name for timing in timings]
    axes.barh(names, list(_medians(timings)), color="#3b6fb6", height=0.7)
    for y, timing in enumerate(timings):
        axes.plot([0, timing.p99_us], [y, y], color="#d08a2e", linewidth=2)
        axes.annotate(
            f" {timing.p50_us:,.2f} / {timing.p99_us:,.2f}", (timing.p99_us, y), va="center",
            fontsize=7,
        )  # fmt: skip
    axes.margins(x=0.25)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_title(group, fontsize=9, loc="left")
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _medians(timings: Sequence[Timing]) -> Iterator[float]:
    return (timing.p50_us for timing in timings)
