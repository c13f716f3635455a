"""The report as one HTML page that needs nothing else."""

from __future__ import annotations

import functools
import math
import time
from html import escape
from typing import Any, Final

from cloud_hub.experiments import report_text
from cloud_hub.web.charts import EventMark, Line, chart

Plain = dict[str, Any]
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
"""What the figures of a shadow run and of interleaving are."""


def to_html(report: Plain) -> str:
    """Render the report of :func:`cloud_hub.experiments.report.build`."""
    marks = [
        EventMark(event["at"], escape(event["event"]))
        for event in report["timeline"]
        if event["event"] != "started"
    ]
    return str(
        _template().render(
            r=report,
            e=report["experiment"],
            outcomes=[(row, _outcome_chart(report, row, marks)) for row in report["outcomes"]],
            sessions=_session_chart(report, marks),
            dropped=[arm["arm"] for arm in report["arms"] if arm["dropped"]],
            beside_names=BESIDE,
            evidence=_evidence_chart(report, marks),
            exposure=_exposure_chart(report, marks),
            metered=any(row["joules_a_prediction"] is not None for row in report["cohorts"]),
        )
    )


@functools.cache
def _template() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cloud_hub.experiments", "."), autoescape=True,
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    filters: dict[str, Any] = {
        "when": _when, "percent": _percent, "share": _share, "number": _number,
        "guard": report_text.guard, "counts": report_text.counts,
    }  # fmt: skip
    environment.filters.update(filters)
    return environment.get_template("report.html")


def _outcome_chart(report: Plain, row: Plain, marks: list[EventMark]) -> str:
    known = [p for p in row["points"] if p["low"] is not None and p["high"] is not None]
    line = Line(
        f"gain of {escape(row['arm'])}",
        [(p["at"], p["gain"]) for p in known],
        [(p["at"], p["low"], p["high"]) for p in known],
        [i for i, p in enumerate(known) if i and p["step"] != known[i - 1]["step"]],
    )
    levels = [(0.0, "no difference")]
    effect = row["latest"]["minimum_effect"]
    if effect:
        levels.append((-effect, f"may lose {effect:g}"))
    if effect and report["experiment"]["strategy"] == "ab":
        levels.append((effect, f"a gain of {effect:g} matters"))
    return chart([line], marks=marks, levels=levels)


def _session_chart(report: Plain, marks: list[EventMark]) -> str:
    points = [p for p in report["sessions"] if p["high"] - p["low"] < 1]
    line = Line(
        "share of decided sessions that the candidate wins",
        [(p["at"], p["share"]) for p in points],
        [(p["at"], p["low"], p["high"]) for p in points],
    )
    levels = [(0.5, "no difference")]
    effect = report["experiment"]["spec"]["minimum_effect"]
    if effect:
        levels.append((0.5 + effect, f"{0.5 + effect:.1%} matters"))
    return chart([line], marks=marks, levels=levels)


def _evidence_chart(report: Plain, marks: list[EventMark]) -> str:
    """Log10 of the guardrails' e-values against the level at which they trip."""
    lines = []
    for row in report["guardrails"]:
        points = [(p["at"], math.log10(max(p["e_value"], 1e-3))) for p in row["points"]]
        if points:
            lines.append(Line(escape(f"{row['name']}, {row['arm']}"), points))
    alpha = report["experiment"]["spec"]["guardrails"]["alpha"]
    trips = -math.log10(alpha)
    top = max([trips, *(v for line in lines for _, v in line.points)])
    limits = (-3.2, min(top, 12.0) * 1.15)
    return chart(lines, marks=marks, levels=[(trips, f"trips at {1 / alpha:g}")], limits=limits)


def _exposure_chart(report: Plain, marks: list[EventMark]) -> str:
    lines = [
        Line(
            escape(row["arm"]),
            [(p["at"], p["predictions"]) for p in row["points"]],
            begins=[
                i
                for i, p in enumerate(row["points"])
                if i and p["step"] != row["points"][i - 1]["step"]
            ],
        )
        for row in report["exposure"]
    ]
    return chart(lines, marks=marks, levels=[])


def _when(at: float | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at)) if at else ""


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2%}"


def _percent(value: float) -> str:
    return f"{value * 100:g}%"


def _number(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, int) or abs(value) >= 1_000:
        return f"{value:,.0f}"
    return f"{value + 0.0:.4g}"
