"""Report of an experiment as one HTML page that needs nothing else."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import asdict
from html import escape
from typing import TYPE_CHECKING, Any, Final

from cloud_hub.experiments import report_text
from cloud_hub.experiments.verdict.figures import ShadowFigures
from cloud_hub.experiments.verdict.guardrails import alpha_of
from cloud_hub.text.durations import format_duration
from cloud_hub.web.charts import EventMark, Line, chart
from cloud_hub.web.pages import page_template

if TYPE_CHECKING:
    from cloud_hub.experiments.report_sections import OutcomeSeries, Report

BESIDE: Final = {
    "compared": "inputs that both answered",
    "devices": "devices",
    "disagreement": "answers that differ",
    "confidence_shift": "confidence, candidate minus incumbent",
    "value_shift": "value, candidate minus incumbent",
    "latency_ratio": "time, candidate by incumbent",
    "error_share": "inputs on which the candidate failed",
    "skipped": "inputs that it did not get to",
    "candidate_only": "labels on which only the candidate was right",
    "incumbent_only": "labels on which only the incumbent was right",
    "wins": "sessions that the candidate won",
    "losses": "sessions that what serves won",
    "ties": "sessions with as many clicks for either",
    "sessions": "rankings shown",
    "clicks": "clicks, by whose item it was",
    "first": "rankings by whose item was on top",
    "refused": "clicks that were refused, by reason",
}
"""Names of the figures of a shadow run and of interleaving, for people."""


def to_html(report: Report) -> str:
    """Render a report."""
    return str(_template().render(**page_values(report)))


def page_values(report: Report) -> dict[str, Any]:
    """Return what a page about a report shows: the report, its charts, and which columns it has."""
    marks = [
        EventMark(event.at, escape(event.event))
        for event in report.timeline
        if event.event != "started"
    ]
    return {
        "r": report,
        "e": report.experiment,
        "outcomes": [(row, _outcome_chart(report, row, marks)) for row in report.outcomes],
        "sessions": _session_chart(report, marks),
        "dropped": [arm.arm for arm in report.arms if arm.dropped],
        "shadow": isinstance(report.beside, ShadowFigures),
        "beside": asdict(report.beside) if report.beside else None,
        "beside_names": BESIDE,
        "evidence": _evidence_chart(report, marks),
        "exposure": _exposure_chart(report, marks),
        "metered": any(row.joules_a_prediction is not None for row in report.cohorts),
        "measured": any(row.mae is not None for row in report.cohorts),
        "served": report.experiment.spec.tries_personalisation,
    }


@functools.cache
def _template() -> Any:
    return page_template("cloud_hub.experiments", "report.html", **FILTERS)


def _outcome_chart(report: Report, row: OutcomeSeries, marks: list[EventMark]) -> str:
    band = [(p.at, p.low, p.high) for p in row.points if p.low is not None and p.high is not None]
    bounded = [p for p in row.points if p.low is not None and p.high is not None]
    line = Line(
        f"gain of {escape(row.arm)}",
        [(p.at, p.gain) for p in bounded],
        band,
        _begins([p.step for p in bounded]),
    )
    levels = [(0.0, "no difference")]
    effect = row.latest.minimum_effect
    if effect:
        levels.append((-effect, f"may lose {effect:g}"))
    if effect and report.experiment.strategy == "ab":
        levels.append((effect, f"a gain of {effect:g} matters"))
    return chart([line], marks=marks, levels=levels)


def _begins(steps: list[tuple[int, int]]) -> list[int]:
    """Indices at which a step begins: each has data of its own, so no line is drawn across."""
    return [i for i in range(1, len(steps)) if steps[i] != steps[i - 1]]


def _session_chart(report: Report, marks: list[EventMark]) -> str:
    # An interval from 0 to 1 says nothing and would flatten the rest.
    points = [p for p in report.sessions if p.high - p.low < 1]
    line = Line(
        "share of decided sessions that the candidate wins",
        [(p.at, p.share) for p in points],
        [(p.at, p.low, p.high) for p in points],
    )
    levels = [(0.5, "no difference")]
    effect = report.experiment.spec.minimum_effect
    if effect:
        levels.append((0.5 + effect, f"{0.5 + effect:.1%} matters"))
    return chart([line], marks=marks, levels=levels)


def _evidence_chart(report: Report, marks: list[EventMark]) -> str:
    """Log10 of the guardrails' e-values by the e-value at which each trips."""
    lines = []
    for row in (row for row in report.guardrails if row.points):
        # Ville's inequality: an e-value trips where it reaches 1 / alpha.
        alpha = alpha_of(report.experiment.spec, row.name)
        points = [(p.at, math.log10(max(p.e_value, 1e-3) * alpha)) for p in row.points]
        lines.append(Line(escape(f"{row.name}, {row.arm}"), points))
    values = [value for line in lines for _, value in line.points]
    # Evidence can grow to hundreds of decades; the axis ends where nobody doubts any more.
    limits = (1.05 * min([-1.0, *values]), min(max([0.5, *values]), 12.0) * 1.15)
    return chart(lines, marks=marks, levels=[(0.0, "trips")], limits=limits)


def _exposure_chart(report: Report, marks: list[EventMark]) -> str:
    lines = [
        Line(
            escape(row.arm),
            [(p.at, p.predictions) for p in row.points],
            begins=_begins([p.step for p in row.points]),
        )
        for row in report.exposure
    ]
    return chart(lines, marks=marks, levels=[])


def _percent(value: float) -> str:
    return f"{value * 100:g}%"


FILTERS: Final[dict[str, Callable[..., str]]] = {
    "percent": _percent,
    "guard": report_text.guard,
    "counts": report_text.counts,
    "gap": report_text.gap,
    "duration": format_duration,
}
"""Filters of a template that shows a report."""
