"""The HTML report: one file, the plots as inline SVG."""

from __future__ import annotations

import html
import io
import json
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np

from cloud_hub.statistics.detectors.drift import model_drift
from edge_sdk.model.release import Release
from examples.digits.demo.journals import Line
from examples.digits.demo.table import Table

if TYPE_CHECKING:
    from examples.digits.demo.story import Story

matplotlib.use("svg")
from matplotlib import pyplot as plt

BIN_SECONDS = 3
COLOURS = {"1.0": "#4c72b0", "1.1": "#55a868", "2.0": "#c44e52",
           "pack": "#8172b3", "model": "#4c72b0", "cloud": "#dd8452"}  # fmt: skip
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
       color: #222; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; padding: .4rem .6rem;
       border-bottom: 1px solid #ddd; vertical-align: top; }
.ok { color: #2a7d2e; font-weight: 600; } .no { color: #b3261e; font-weight: 600; }
svg { width: 100%; height: auto; } h2 { margin-top: 2rem; }
@media (prefers-color-scheme: dark) { body { background: #fff; } }
"""


def write_report(story: Story, table: Table) -> Path:
    """Write ``report.html`` into the demo's folder; return its path."""
    lines = story.all_answers()
    plots: list[tuple[str, str, Callable[[Any], None]]] = [
        (
            "Accuracy over time, by version",
            "Share of right answers by the devices' own journals, in windows of three seconds.",
            lambda axes: _accuracy(axes, lines, story),
        ),
        (
            "Drift score",
            "Largest Kolmogorov–Smirnov distance of any input of 1.0 from its reference, from the "
            "counts that devices report. Drift counts from 0.1 up.",
            lambda axes: _drift(axes, story),
        ),
        (
            "Share of sources",
            "Sources of answers: the pack, the model on the device, the cloud model.",
            lambda axes: _sources(axes, lines, story),
        ),
        (
            "Latency",
            "Time from picture to answer as the app saw it, by source.",
            lambda axes: _latency(axes, lines),
        ),
    ]
    body = [_table(table)]
    for title, text, draw in plots:
        body.append(f"<h2>{html.escape(title)}</h2><p>{html.escape(text)}</p>{_svg(draw)}")
    body.append(_freshness(story))
    page = (
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>A fleet that keeps itself "
        f"fresh</title><style>{STYLE}</style><h1>A fleet that keeps itself fresh</h1>"
        f"{''.join(body)}</html>"
    )
    path = story.folder / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def _table(table: Table) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(row.step)}</td><td class='{'ok' if row.ok else 'no'}'>"
        f"{'ok' if row.ok else 'not ok'}</td><td>{html.escape(row.evidence)}</td>"
        f"<td>{row.seconds:.1f} s</td></tr>"
        for row in table.rows
    )
    head = "<tr><th>step</th><th></th><th>evidence</th><th>took</th></tr>"
    return f"<table>{head}{rows}</table>"


def _freshness(story: Story) -> str:
    """The figures that ``edge-hub freshness`` drew in the background."""
    picture, analysis = story.folder / "freshness.svg", story.folder / "freshness.json"
    if not picture.exists():
        return ""
    verdict = json.loads(analysis.read_text())["verdict"]["text"]
    svg = re.sub(r"^.*?(?=<svg)", "", picture.read_text(), flags=re.DOTALL)
    title = "Is it worth retraining more often?"
    text = f"Half a year of a camera that ages, analysed by edge-hub freshness: {verdict}."
    return f"<h2>{title}</h2><p>{html.escape(text)}</p>{svg}"


def _svg(draw: Callable[[Any], None]) -> str:
    figure, axes = plt.subplots(figsize=(9, 3.6))
    draw(axes)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    text = io.StringIO()
    figure.savefig(text, format="svg")
    plt.close(figure)
    return re.sub(r"^.*?(?=<svg)", "", text.getvalue(), flags=re.DOTALL)


ROWS = 5
"""Lines of names above a plot; more would be as high as the plot itself."""

CHARACTER = 0.0062
"""Width of a character of a mark's name, as a share of the plot's width."""


def mark_rows(places: Sequence[tuple[float, str]]) -> list[int]:
    """Return the line on which each name stands so that none covers another, the lowest first.

    Args:
        places: of the middle of each name, as a share of the width, from left to right; the name.
    """
    ends = [float("-inf")] * ROWS
    rows = []
    for x, name in places:
        half = (len(name) + 1) * CHARACTER / 2
        free = [row for row in range(ROWS) if ends[row] <= x - half]
        row = free[0] if free else min(range(ROWS), key=ends.__getitem__)
        ends[row] = x + half
        rows.append(row)
    return rows


def _marks(axes: Any, story: Story) -> None:
    """Vertical lines at the story's marks, each with its name above the plot."""
    marks = sorted(story.marks)
    low, high = axes.get_xlim()
    high = max(high, marks[-1][0] - story.began) if marks else high
    axes.set_xlim(low, high)
    places = [((at - story.began - low) / (high - low), name) for at, name in marks]
    for (x, name), row in zip(places, mark_rows(places), strict=True):
        axes.axvline(low + x * (high - low), color="#999", lw=0.8, ls=":")
        axes.text(x, 1.02 + 0.07 * row, name, fontsize=7, color="#555", ha="center",
                  transform=axes.transAxes)  # fmt: skip
    axes.set_xlabel("seconds")


def _binned(lines: list[Line], story: Story) -> dict[int, list[Line]]:
    bins: dict[int, list[Line]] = defaultdict(list)
    for line in lines:
        bins[int((line["t"] - story.began) // BIN_SECONDS)].append(line)
    return bins


def _accuracy(axes: Any, lines: list[Line], story: Story) -> None:
    for version in sorted({line["version"] for line in lines if line["source"] != "cloud"}):
        chosen = [x for x in lines if x["version"] == version and x["source"] != "cloud"]
        points = [
            ((i + 0.5) * BIN_SECONDS, np.mean([x["ok"] for x in group]))
            for i, group in sorted(_binned(chosen, story).items())
            if len(group) >= 10
        ]
        if points:
            axes.plot(*zip(*points, strict=True), marker=".", label=version,
                      color=COLOURS.get(version))  # fmt: skip
    axes.set_ylim(0, 1.02)
    axes.set_ylabel("accuracy")
    axes.legend(frameon=False, loc="lower left")
    _marks(axes, story)


def _drift(axes: Any, story: Story) -> None:
    profile = Release.open(story.folder / "releases" / "digits-1.0").profile()
    reference = {feature.name: feature.counts for feature in profile.features}
    rows = story.hub.get("models/digits/histograms", version="1.0")
    times, scores = [], []
    for row in rows:
        features = {name: row["histograms"][name] for name in reference}
        times.append(row["start"] - story.began)
        scores.append(max(feature.ks for feature in model_drift(reference, features)))
    axes.plot(times, scores, marker=".", color=COLOURS["1.0"])
    axes.axhline(0.1, color="#c44e52", lw=0.8)
    axes.set_ylabel("largest KS distance")
    axes.set_ylim(0, 1)
    _marks(axes, story)


def _sources(axes: Any, lines: list[Line], story: Story) -> None:
    bins = sorted(_binned(lines, story).items())
    x = [(i + 0.5) * BIN_SECONDS for i, _ in bins]
    names = ("pack", "model", "cloud")
    shares = [[np.mean([line["source"] == n for line in g]) for _, g in bins] for n in names]
    axes.stackplot(x, shares, labels=names, colors=[COLOURS[n] for n in names], alpha=0.85)
    axes.set_ylim(0, 1)
    axes.set_ylabel("share of answers")
    axes.legend(frameon=True, loc="lower left", ncols=3)
    _marks(axes, story)


def _latency(axes: Any, lines: list[Line]) -> None:
    edges = np.logspace(1, 6, 80)
    for name in ("pack", "model", "cloud"):
        values = [line["us"] for line in lines if line["source"] == name]
        if values:
            axes.hist(values, bins=edges, histtype="step", label=name, color=COLOURS[name], lw=1.5)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("microseconds")
    axes.set_ylabel("answers")
    axes.legend(frameon=False)
