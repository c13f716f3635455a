"""The report: one page with its figures drawn in, or the figures as a picture."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cloud_hub.errors import Invalid
from cloud_hub.freshness.analysis import Freshness
from cloud_hub.freshness.verdict import Gain
from cloud_hub.statistics.detectors.blocks import Estimate
from edge_sdk.system.files import READABLE, check_writable, write_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DAY: Final = 86_400.0
INK, ACCENT, QUIET = "#333333", "#c44e52", "#4c72b0"
STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem;
       color: #222; background: #fff; }
table { border-collapse: collapse; } td, th { text-align: left; padding: .3rem .8rem;
       border-bottom: 1px solid #ddd; }
.verdict { border-left: 4px solid #c44e52; padding: .5rem 1rem; background: #f7f7f7; }
svg { width: 100%; height: auto; }
"""


def check_report(path: Path) -> None:
    """Find out before the trainings whether :func:`write_report` could write ``path``.

    Raises:
        Invalid: another ending, matplotlib is not installed, or the path cannot be written.
    """
    if path.suffix not in (".html", ".png", ".svg"):
        raise Invalid(f"{path}: expected a name that ends in .html, .png or .svg")
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise Invalid(
            'drawing needs matplotlib: pip install "edge-deployment-sdk[plot]"'
        ) from error
    try:
        check_writable(path)
    except OSError as error:
        raise Invalid(f"{path}: cannot be written; {error.strerror}") from error


def write_report(result: Freshness, path: Path, *, title: str) -> None:
    """Write ``path``: ``.html`` a whole page, ``.png`` or ``.svg`` the figures alone.

    Args:
        result: of the analysis.
        path: to write; it is replaced.
        title: of the page.

    Raises:
        Invalid: as :func:`check_report`.
    """
    check_report(path)
    picture = io.BytesIO()
    kind = "svg" if path.suffix == ".html" else path.suffix[1:]
    draw(result).savefig(picture, format=kind, dpi=150)
    if path.suffix != ".html":
        write_atomic(path, picture.getvalue(), mode=READABLE)
        return
    # Inline SVG must not carry an XML declaration or a doctype.
    svg = re.sub(r"^.*?(?=<svg)", "", picture.getvalue().decode(), flags=re.DOTALL)
    write_atomic(path, page(result, svg, title).encode(), mode=READABLE)


def draw(result: Freshness) -> Figure:
    """Loss by age of the training data, and loss by schedule, with intervals."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    _by_age(left, result)
    _by_schedule(right, result)
    for axes in (left, right):
        axes.set_ylabel(result.measure)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _by_age(axes: Any, result: Freshness) -> None:
    days = [age / DAY for age, _ in result.ages]
    estimates = [estimate for _, estimate in result.ages]
    axes.errorbar(days, [e.mean for e in estimates], yerr=_bars(estimates), color=QUIET,
                  marker="o", ms=4, lw=1.5, capsize=3)  # fmt: skip
    axes.set_xlabel("days between training data and now")
    axes.set_title("how models age", fontsize=10, loc="left", color=INK)


def _by_schedule(axes: Any, result: Freshness) -> None:
    names, estimates = list(result.schedules), list(result.schedules.values())
    places = range(len(names))
    colours = [ACCENT if name == result.verdict.schedule else QUIET for name in names]
    for place, estimate, colour in zip(places, estimates, colours, strict=True):
        axes.errorbar([place], [estimate.mean], yerr=_bars([estimate]), color=colour, marker="o",
                      ms=6, capsize=4)  # fmt: skip
    axes.set_xticks(list(places), names)
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_title("retrained", fontsize=10, loc="left", color=INK)


def _bars(estimates: list[Estimate]) -> list[list[float]]:
    """Distances below and above; none where there is no interval."""
    bounded = [e.high < float("inf") for e in estimates]
    pairs = list(zip(estimates, bounded, strict=True))
    below = [e.mean - e.low if k else 0.0 for e, k in pairs]
    return [below, [e.high - e.mean if k else 0.0 for e, k in pairs]]


def page(result: Freshness, svg: str, title: str) -> str:
    """Return the whole page as HTML.

    Args:
        result: of the analysis.
        svg: the figures.
        title: of the page.
    """
    schedules = _table(
        ("retrained", result.measure, "interval"),
        [(name, f"{e.mean:.4f}", _interval(e, "")) for name, e in result.schedules.items()],
    )
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        f"<p class='verdict'>{html.escape(result.verdict.text)}</p>",
        svg,
        schedules,
        "<h2>What more often is worth</h2>" + _gains(result.gains),
    ]
    if result.iteration:
        explanation = (
            "Newer data with the same training, another training with the old data, and both."
        )
        parts.append(f"<h2>Data or model?</h2><p>{explanation}</p>{_gains(result.iteration)}")
    parts.append(f"<h2>How to read it</h2><p>{html.escape(reading(result))}</p>")
    head = f"<meta charset='utf-8'><title>{html.escape(title)}</title><style>{STYLE}</style>"
    return f"<!doctype html><html lang='en'>{head}{''.join(parts)}</html>"


def reading(result: Freshness) -> str:
    """Explain what the intervals cover, and what they do not."""
    blocks = next(iter(result.schedules.values())).blocks
    return (
        f"Every schedule answers the same {result.rows} rows, the newest of the history; "
        f"{result.trainings} models were trained, each on a window of one length that ended when "
        f"it was trained. Gains are paired, and their intervals hold for all comparisons together; "
        f"they are over {blocks} stretches of time, because rows that come together resemble each "
        "other. They say how much the figures would vary with other days like these. They do not "
        "cover another seed of the training, or days unlike these."
    )


def _gains(gains: tuple[Gain, ...]) -> str:
    rows = [(g.of, g.to, f"{g.estimate.mean:+.4f}", _interval(g.estimate)) for g in gains]
    return _table(("from", "to", "lower loss by", "interval"), rows)


def _interval(estimate: Estimate, sign: str = "+") -> str:
    if estimate.high == float("inf"):
        return "too few days"
    return f"{estimate.low:{sign}.4f} to {estimate.high:{sign}.4f}"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    top = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><tr>{top}</tr>{body}</table>"
