"""``make statistics``: simulate, and write ``benchmarks/STATISTICS.md``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from benchmarks.statistics import (
    allocation,
    assignment,
    canaries,
    drift,
    energy,
    errors,
    estimates,
    false_winners,
    groups,
    interleaving,
    keys,
    power,
    reporting,
)
from benchmarks.statistics.part import FULL, QUICK, Effort, Part, Row
from edge_sdk.bench.result import save

HERE: Final = Path(__file__).parent.parent
PARTS: Final[dict[str, Part]] = {
    "false-winners": false_winners.PART,
    "power": power.PART,
    "energy": energy.PART,
    "canaries": canaries.PART,
    "allocation": allocation.PART,
    "keys": keys.PART,
    "interleaving": interleaving.PART,
    "assignment": assignment.PART,
    "drift": drift.PART,
    "errors": errors.PART,
    "groups": groups.PART,
    "estimates": estimates.PART,
    "reporting": reporting.PART,
}
"""The subjects. To add one, write a module with a ``PART`` and name it here."""

ABOUT: Final = """# Error rates and power

Written by `make statistics` with fixed seeds. Devices are simulated; who is on which arm is
decided by the contract's own plan evaluation, and verdicts by the hub's own gates. A rate
stands with its 95% interval; *goal* is what was set beforehand, and goals that are missed stay."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the parts; 0 whether goals are met or not."""
    arguments = _parser().parse_args(argv)
    effort = QUICK if arguments.quick else FULL
    results = {name: _measure(name, PARTS[name], effort) for name in arguments.only}
    arguments.out.mkdir(parents=True, exist_ok=True)
    report = arguments.out / "STATISTICS.md"
    before = sections(report.read_text()) if report.exists() else {}
    save(report, to_markdown(results, before).encode())
    print(f"wrote {report}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.statistics", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few runs, to see that it works")
    parser.add_argument("--only", nargs="*", choices=[*PARTS], default=[*PARTS])
    parser.add_argument("--out", type=Path, default=HERE, help="folder of what is written")
    return parser


def _measure(name: str, part: Part, effort: Effort) -> tuple[list[Row], float]:
    print(f"{name} ...", file=sys.stderr, flush=True)
    began = time.perf_counter()
    return part.run(effort), time.perf_counter() - began


def to_markdown(
    results: Mapping[str, tuple[list[Row], float]], before: Mapping[str, str] = MappingProxyType({})
) -> str:
    """Return the report; parts that were not run keep what ``before`` has under their title."""
    parts = []
    for name, part in PARTS.items():
        if name in results:
            parts.append(_section(part, *results[name]))
        elif part.title in before:
            parts.append(before[part.title])
    whole = "\n\n".join(parts)
    met, missed = (whole.count(f"| {mark} |") for mark in (MARKS[True], MARKS[False]))
    return "\n\n".join([ABOUT, f"{met} of {met + missed} goals are met.", whole]) + "\n"


def sections(report: str) -> dict[str, str]:
    """The parts of a report, by title."""
    parts = report.strip().split("\n\n## ")[1:]
    return {part.partition("\n")[0]: f"## {part}" for part in parts}


def _section(part: Part, rows: Sequence[Row], seconds: float) -> str:
    took = f"Took {seconds:.0f} s."
    return "\n\n".join([f"## {part.title}", part.about, _table(rows), took])


MARKS: Final = {True: "met", False: "**missed**", None: ""}


def _table(rows: Sequence[Row]) -> str:
    lines = ["| measured | goal | found | |", "|---|---|---|---|"]
    lines += [f"| {r.measured} | {r.goal} | {r.result} | {MARKS[r.met]} |" for r in rows]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
