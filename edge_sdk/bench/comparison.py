"""Comparison of two runs: ratios of common figures, and warnings if the machines differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_sdk.errors import BenchError

if TYPE_CHECKING:
    from edge_sdk.bench.result import BenchResult


@dataclass(frozen=True)
class Ratio:
    """One figure of both runs; ``ratio`` is the second over the first."""

    what: str
    before: float
    after: float
    unit: str

    @property
    def ratio(self) -> float | None:
        """Ratio; ``None`` if the first figure is zero."""
        return self.after / self.before if self.before else None


@dataclass(frozen=True)
class Comparison:
    """Figures that two runs have in common; ``only`` names those that one of them lacks."""

    names: tuple[str, str]
    ratios: tuple[Ratio, ...]
    only: tuple[str, ...]
    warnings: tuple[str, ...]


def compare(before: BenchResult, after: BenchResult) -> Comparison:
    """Compare two runs.

    Raises:
        BenchError: they have no figure in common.
    """
    figures = [{what: (x, unit) for what, x, unit in _figures(run)} for run in (before, after)]
    first, second = figures
    ratios = [
        Ratio(what, x, second[what][0], unit) for what, (x, unit) in first.items() if what in second
    ]
    if not ratios:
        raise BenchError("the two files have no row in common: they measured different things")
    only = tuple(sorted(set(first) ^ set(second)))
    return Comparison(
        (before.target, after.target), tuple(ratios), only, tuple(_warnings(before, after))
    )


def _figures(run: BenchResult) -> Iterator[tuple[str, float, str]]:
    for timing in run.findings.timings:
        yield f"{timing.group}, {timing.name}, p50", timing.p50_us, "µs"
        yield f"{timing.group}, {timing.name}, p99", timing.p99_us, "µs"
    for claim in run.findings.claims:
        yield f"{claim.row}. {claim.what}", claim.measured, claim.unit
    for name, value in run.findings.facts.items():
        yield name, value, ""


def _warnings(before: BenchResult, after: BenchResult) -> Iterator[str]:
    for name in sorted({*before.machine, *after.machine}):
        old, new = (run.machine.get(name, "unknown") for run in (before, after))
        if old != new:
            yield f"the machines differ in {name}: {old} and {new}"
    if before.target != after.target:
        yield f"the targets differ: {before.target} and {after.target}"


def to_markdown(comparison: Comparison) -> str:
    """Return warnings and a table as Markdown."""
    first, second = comparison.names
    lines = [f"> **Warning**: {warning}" for warning in comparison.warnings]
    lines += [""] if lines else []
    lines += [f"| | {first} | {second} | ratio |", "|---|---:|---:|---:|"]
    for row in comparison.ratios:
        shown = "" if row.ratio is None else f"{row.ratio:.3f}"
        after = f"{row.after:.4g} {row.unit}".strip()
        lines.append(f"| {row.what} | {row.before:.4g} {row.unit} | {after} | {shown} |")
    lines += [f"\nIn one of the two only: {name}" for name in comparison.only]
    return "\n".join(lines)
