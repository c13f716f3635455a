"""A run as Markdown: the table of goals, latencies, single figures, notes, the machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from edge_sdk.bench.result import BenchResult, GoalRow, Timing

_MET: Final = {True: "yes", False: "**no**", None: ""}


def to_markdown(result: BenchResult) -> str:
    """Return the whole result as Markdown."""
    findings = result.findings
    parts = [f"**{result.target}**", claims_table(findings.claims)]
    parts.append(timings_table(findings.timings))
    parts.append("\n".join(f"- {name}: {value:,.6g}" for name, value in findings.facts.items()))
    parts.append("\n".join(f"- Note: {note}" for note in findings.notes))
    parts.append(machine_line(result))
    return "\n\n".join(part for part in parts if part)


def claims_table(claims: Sequence[GoalRow]) -> str:
    """Return a table of claims with goal, figure and verdict."""
    lines = ["| row | measured | goal | result | met |", "|---:|---|---:|---:|---|"]
    for claim in sorted(claims, key=lambda claim: claim.row):
        measured = figure(claim.measured, claim.unit)
        lines.append(
            f"| {claim.row} | {claim.what} | {goal_of(claim)} | {measured} | {_MET[claim.met]} |"
        )
    return "\n".join(lines)


def goal_of(claim: GoalRow) -> str:
    """Return the goal, such as ``≤ 4 µs``; empty without one."""
    sign = "≥" if claim.at_least else "≤"
    return "" if claim.goal is None else f"{sign} {figure(claim.goal, claim.unit)}"


def timings_table(timings: Sequence[Timing]) -> str:
    """Return a table of latencies in microseconds, group by group."""
    lines = ["| µs a call | p50 | p90 | p99 | calls |", "|---|---:|---:|---:|---:|"]
    for group in dict.fromkeys(timing.group for timing in timings):
        lines.append(f"| *{group}* | | | | |")
        lines.extend(_rows(timing for timing in timings if timing.group == group))
    return "\n".join(lines)


def machine_line(result: BenchResult) -> str:
    """Return machine and conditions in one paragraph."""
    machine = ", ".join(f"{name} {value}" for name, value in result.machine.items())
    changing = ", ".join(f"{name} {value}" for name, value in result.conditions.items())
    return f"Machine: {machine}." + (f" Conditions: {changing}." if changing else "")


def _rows(timings: Iterator[Timing]) -> Iterator[str]:
    for t in timings:
        yield f"| {t.name} | {_us(t.p50_us)} | {_us(t.p90_us)} | {_us(t.p99_us)} | {t.calls:,} |"


def _us(value: float) -> str:
    return f"{value:,.2f}" if value < 1_000 else f"{value:,.0f}"


def figure(value: float, unit: str) -> str:
    """Format a number with three digits and its unit."""
    number = f"{value:.3g}" if abs(value) < 1_000 else f"{value:,.0f}"
    return f"{number}×" if unit == "x" else f"{number} {unit}"
