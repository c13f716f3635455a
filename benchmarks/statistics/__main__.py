"""``make statistics``: simulate, and write ``benchmarks/STATISTICS.md``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.statistics import (
    allocation,
    assignment,
    canaries,
    false_winners,
    interleaving,
    power,
)
from benchmarks.statistics.part import FULL, QUICK, Effort, Part, Row
from edge_sdk.bench.result import save

HERE: Final = Path(__file__).parent.parent
PARTS: Final[dict[str, Part]] = {
    "false-winners": false_winners.PART,
    "power": power.PART,
    "canaries": canaries.PART,
    "allocation": allocation.PART,
    "interleaving": interleaving.PART,
    "assignment": assignment.PART,
}
"""What there is. To add a subject, write a module with a ``PART`` and name it here."""

ABOUT: Final = """# Error rates and power

Written by `make statistics` from one run with fixed seeds. Devices are simulated; who is on which
arm is decided by the contract's own plan evaluation, and verdicts by the hub's own gates. A rate
stands with its 95% interval; *goal* is what was set beforehand, and goals that are missed stay."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the parts; 0 whether goals are met or not."""
    arguments = _parser().parse_args(argv)
    effort = QUICK if arguments.quick else FULL
    found = {name: _measure(name, PARTS[name], effort) for name in arguments.only}
    arguments.out.mkdir(parents=True, exist_ok=True)
    save(arguments.out / "STATISTICS.md", to_markdown(found).encode())
    print(f"wrote {arguments.out / 'STATISTICS.md'}")
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


def to_markdown(found: dict[str, tuple[list[Row], float]]) -> str:
    """The report."""
    judged = [row for rows, _ in found.values() for row in rows if row.met is not None]
    met = sum(row.met is True for row in judged)
    text = [ABOUT, f"{met} of {len(judged)} goals are met."]
    for name, (rows, seconds) in found.items():
        part = PARTS[name]
        text += [f"## {part.title}", part.about, _table(rows), f"Took {seconds:.0f} s."]
    return "\n\n".join(text) + "\n"


def _table(rows: list[Row]) -> str:
    lines = ["| measured | goal | found | |", "|---|---|---|---|"]
    marks = {True: "met", False: "**missed**", None: ""}
    lines += [f"| {r.measured} | {r.goal} | {r.found} | {marks[r.met]} |" for r in rows]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
