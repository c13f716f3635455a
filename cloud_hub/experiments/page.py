"""The report as one HTML page that needs nothing else."""

from __future__ import annotations

import functools
import json
import math
import time
from html import escape
from typing import Any

from cloud_hub.experiments.charts import Line, Mark, chart

Plain = dict[str, Any]


def to_html(report: Plain) -> str:
    """Render the report of :func:`cloud_hub.experiments.report.build`."""
    marks = [
        Mark(event["at"], escape(event["event"]))
        for event in report["timeline"]
        if event["event"] != "started"
    ]
    return str(
        _template().render(
            r=report,
            e=report["experiment"],
            outcomes=[(row, _outcome_chart(row, marks)) for row in report["outcomes"]],
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
    filters = {"when": _when, "share": _share, "number": _number, "facts": _facts}
    environment.filters.update(filters)
    return environment.get_template("report.html")


def _outcome_chart(row: Plain, marks: list[Mark]) -> str:
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
    return chart([line], marks=marks, levels=levels)


def _evidence_chart(report: Plain, marks: list[Mark]) -> str:
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


def _exposure_chart(report: Plain, marks: list[Mark]) -> str:
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


def _number(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _facts(value: Plain) -> str:
    return json.dumps(value, sort_keys=True)
