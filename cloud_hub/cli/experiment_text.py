"""Experiments as people read them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from cloud_hub.cli.shared.output import TextTable, View, local_time, plural
from cloud_hub.text.durations import format_duration

Plain = Mapping[str, Any]
"""JSON as the hub gives it."""

METHODS: Final = {
    "sequential": "looked at any time (sequential)",
    "group-sequential": "ten looks until a declared horizon (group-sequential)",
}
"""How each design of a verdict is called."""


def plan_text(plan: Plain) -> str:
    """Return the needs of an experiment: devices, outcomes, and about how long it takes."""
    lines = [line for row in plan["outcomes"] for line in _needs(row)]
    return "\n".join([plan["summary"], *lines])


def _needs(row: Plain) -> list[str]:
    head = f"{row['outcome']} ({row['metric']})"
    lines = [f"  {head}: {_recent(row)}"] if row["needs"] else []
    for need, days in zip(row["needs"], row["days"], strict=True):
        how = METHODS[need["method"]]
        lines.append(f"    {how}: {need['independent']:,} {_until(row, days)}")
    lines += [_step(step) for step in row["steps"]]
    if row["note"]:
        lines.append(f"    {row['note']}" if lines else f"  {head}: {row['note']}")
    return lines


def _recent(row: Plain) -> str:
    if row["metric"] == "wins":
        return f"lately {row['a_device_a_day']:,.1f} clicked rankings a device and day would decide"
    return (
        f"lately {row['mean']:.4g} on average, {row['a_device_a_day']:,.0f} a device and day, "
        f"correlated {row['correlation']:.3f} within a device"
        + ("" if row["left"] is None else f" ({row['left']:.3f} once its own past is known)")
    )


def _step(step: Plain) -> str:
    """What one step can find, and what it cannot."""
    devices = plural(step["candidate"], "device")
    who = f"    {step['step']}: {devices} against {step['control']:,}"
    if step["ever"] is None:
        return f"{who}: no verdict, too few devices"
    week = "" if step["smallest"] is None else f"{step['smallest']:.2g} in a week, "
    least = f"can find a difference of {week}{step['ever']:.2g} at best"
    if step["days"] is None:
        chance = step["chance"]
        most = "no verdict" if chance < 0.01 else f"a verdict with a chance of {chance:.0%}"
        return f"{who}: {least}; for the minimum effect {most}, however long it goes on"
    return (
        f"{who}: {least}; the minimum effect takes about {format_duration(step['days'] * 86_400)}"
    )


def _until(row: Plain, days: float | None) -> str:
    what = "decided sessions" if row["metric"] == "wins" else "independent outcomes an arm"
    if days is None:
        # Of interleaving, nobody knows how long it takes before rankings were clicked.
        unknown = row["note"] and row["metric"] == "wins"
        return what if unknown else f"{what}: never with these devices"
    return f"{what}: about {format_duration(days * 86_400)}"


def experiment_line(record: Plain) -> str:
    """Return the state of an experiment on one line, with the reason for it."""
    return (
        f"{record['id']}: {record['status']}; {record['strategy']} of {_tried(record)} against "
        f"{record['control']}, {record['now']}; {record['reason']}"
    )


def _tried(record: Plain) -> str:
    versions = " and ".join(
        arm["version"]
        + (f" {arm['personalise']} personalisation" if arm.get("personalise") else "")
        for arm in record["spec"]["arms"]
    )
    return versions or str(record["candidate"])


def experiments_table(records: Sequence[Plain]) -> TextTable:
    """Return every experiment of a model, a row each."""
    columns = ("experiment", "status", "strategy", "tried", "against", "started", "ended", "reason")
    rows = [
        (
            record["id"], record["status"], record["strategy"], _tried(record), record["control"],
            local_time(record["started_at"]), local_time(record["ended_at"]), record["reason"],
        )
        for record in records
    ]  # fmt: skip
    return TextTable(columns, rows, empty="no experiments")


def status_text(record: Plain) -> str:
    """Return the state of an experiment: outcomes, guardrails, devices, arms that were dropped."""
    figures = record["figures"]
    lines = [experiment_line(record)]
    lines += [f"  {_outcome(row)}" for row in figures.get("outcomes", [])]
    lines += [f"  {line}" for line in _labels(figures.get("labels") or {})]
    lines += [f"  {line}" for line in _guards(figures.get("guardrails", []))]
    for arm, row in figures.get("devices", {}).items():
        counts = ", ".join(f"{row[name]} {name}" for name in row if name != "exposed")
        lines.append(f"  {arm}: {counts}; {row['exposed']} with exposure")
    for arm, row in record["state"].get("dropped", {}).items():
        lines.append(f"  {arm}: dropped by {row['actor']}; {row['reason']}")
    return "\n".join(lines)


def _outcome(row: Plain) -> str:
    low, high = _signed(row["low"]), _signed(row["high"])
    return f"{row['outcome']} of {row['arm']}: {_signed(row['gain'])} in [{low}, {high}]"


def _labels(labels: Plain) -> list[str]:
    """A line for each arm: what share is labelled, and accuracy whatever the others were."""
    lines = []
    for arm, row in labels.get("arms", {}).items():
        if row["answers"]:
            share = f"{row['correct'] / row['labelled']:.1%}" if row["labelled"] else ""
            right = f", {share} of these right" if share else ""
            lines.append(
                f"{arm}: labelled {row['labelled'] / row['answers']:.1%} of {row['answers']:,} "
                f"answers{right}; of all answers {row['lowest']:.1%} to {row['highest']:.1%} are "
                "right, whatever the missing labels are"
            )
    waiting = labels.get("waiting", 0)
    after = (
        f"{waiting:,} more labels: they count {format_duration(labels.get('settles', 0))} after "
        "the end of their window"
    )
    return [*lines, after] if waiting else lines


def _guards(rows: Iterable[Any]) -> list[str]:
    """The reasons of guardrails that trip; the others are quiet, whatever their reason would be."""
    guards = [row for row in rows if isinstance(row, Mapping)]  # a declaration's are no rows
    lines = [f"guardrail {g['name']} trips: {g['reason']}" for g in guards if g["trips"]]
    quiet = list(dict.fromkeys(g["name"] for g in guards if not g["trips"]))
    return [*lines, f"guardrails quiet: {', '.join(quiet)}"] if quiet else lines


def report_view(report: Plain) -> View:
    """Return what was decided when; the JSON and the page also have the figures of every look."""
    record = {**report["experiment"], "now": report["now"]}
    events = [
        (local_time(event["at"]), event["event"], event["step"], event["reason"])
        for event in report["timeline"]
    ]
    guards = [
        (g["name"], g["arm"], _guard_state(g), g["latest"]["reason"] if g["tripped"] else "")
        for g in report["guardrails"]
    ]
    rules = "\n".join(f"  {rule}" for rule in report["rules"])
    return [
        f"{status_text(record)}\n{rules}",
        TextTable(("time", "event", "step", "reason"), events, "timeline", "nothing yet"),
        TextTable(
            ("guardrail", "arm", "state", "reason"), guards, "guardrails", "not looked at yet"
        ),
        _effects(report["effects"]),
    ]


def _effects(rows: Sequence[Plain]) -> TextTable:
    who = "devices: control, arm"
    columns = ("cohort", "outcome", "arm", who, "gain", "interval", "shrunk", "finding")
    shown = [
        (
            f"{row['attribute']}={row['value']}", row["outcome"], row["arm"],
            ", ".join(f"{count:,}" for count in row["devices"]), _signed(row["gain"]),
            f"{_signed(row['low'])} to {_signed(row['high'])}", _signed(row["shrunk"]),
            row["verdict"] + ("; differs from the other values" if row["differs"] else ""),
        )
        for row in rows
    ]  # fmt: skip
    return TextTable(columns, shown, "effects by cohort", "no attribute has 2 to 12 values")


def _signed(value: float | None) -> str:
    # + 0.0 turns -0.0 into 0.0: "-0" reads as a loss.
    return "?" if value is None else f"{value + 0.0:+.4g}"


def _guard_state(guard: Plain) -> str:
    if guard["latest"]["trips"]:
        return "trips"
    return "tripped before" if guard["tripped"] else "quiet"
