"""``benchmarks/STATISTICS.md``: claims with what was measured of them, then every part's table.

The page is all that is kept of a run: parts that were not run this time keep what it has of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from benchmarks.statistics.claims import CLAIMS, Claim
from benchmarks.statistics.part import Part, Row

ABOUT: Final = """# Error rates and power

Written by `make statistics`, which draws fresh seeds; each part says its own. Devices are
simulated; who is on which arm is decided by the contract's own plan evaluation, and verdicts by the
hub's own gates. A rate stands with its 95% interval; *goal* is what was set beforehand, and goals
that are missed stay. What each method is:
[docs/STATISTICAL_METHODS.md](../docs/STATISTICAL_METHODS.md)."""

MARKS: Final = {True: "met", False: "**missed**", None: ""}
MISSED_SHOWN: Final = 3
"""Cells that the table of claims names of those that miss their goal."""


@dataclass(frozen=True)
class Measured:
    """Rows of one part, in how many seconds and from which seed."""

    rows: Sequence[Row]
    seconds: float
    seed: int


def to_markdown(
    parts: Mapping[str, Part],
    results: Mapping[str, Measured],
    before: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Return the page.

    Args:
        parts: all that there are, by name, in order.
        results: of those that were run.
        before: sections of the last page by title, for those that were not.
    """
    sections_ = []
    for name, part in parts.items():
        if name in results:
            sections_.append(_section(part, results[name]))
        elif part.title in before:
            sections_.append(before[part.title])
    rows = [row for section in sections_ for row in rows_of(section)]
    met, missed = (sum(row.met is mark for row in rows) for mark in (True, False))
    count = f"{met} of {met + missed} goals are met."
    return "\n\n".join([ABOUT, count, claims_table(rows), *sections_]) + "\n"


def sections(page: str) -> dict[str, str]:
    """The parts of a page, by title."""
    parts = page.strip().split("\n\n## ")[1:]
    return {part.partition("\n")[0]: f"## {part}" for part in parts}


def rows_of(section: str) -> list[Row]:
    """The rows of a part's table; pages of before claims have no column of them."""
    marks = {mark: met for met, mark in MARKS.items()}
    rows = []
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and len(cells) >= 4 and cells[3] in marks:
            claim = cells[4] if len(cells) > 4 else ""
            rows.append(Row(cells[0], cells[1], cells[2], marks[cells[3]], claim=claim))
    return [row for row in rows if row.measured != "measured"]


def claims_table(rows: Sequence[Row]) -> str:
    """Return every claim with what was measured of it, failures included."""
    lines = ["| # | where | conditions | must hold | measured |", "|---|---|---|---|---|"]
    lines += [_claim(claim, [row for row in rows if row.claim == claim.number]) for claim in CLAIMS]
    return "\n".join(lines)


def _claim(claim: Claim, rows: Sequence[Row]) -> str:
    judged = [row for row in rows if row.met is not None]
    missed = [row for row in judged if not row.met]
    told = [f"{len(judged) - len(missed)} of {len(judged)} met"] if judged else ["not measured"]
    told += [f"**missed**: {row.measured}: {row.result}" for row in missed[:MISSED_SHOWN]]
    if len(missed) > MISSED_SHOWN:
        told.append(f"and {len(missed) - MISSED_SHOWN} more below")
    told += [
        f"{word}: {row.measured}: {row.result}"
        for word, sign in (("at most", "≤"), ("at least", "≥"))
        if (row := _worst([r for r in judged if r.met and r.goal.startswith(sign)])) is not None
    ]
    cells = (claim.number, claim.where, claim.conditions, claim.must, "; ".join(told))
    return f"| {' | '.join(cells)} |"


def _worst(rows: Sequence[Row]) -> Row | None:
    """The cell that is nearest to its goal, of goals of one direction."""
    known = [(row, figures) for row in rows if (figures := _figures(row)) is not None]
    if not known:
        return None
    # Above 1 is within a goal of at least, below 1 within one of at most: the nearest to 1.
    return min(known, key=lambda pair: abs(pair[1][0] / pair[1][1] - 1))[0]


def _figures(row: Row) -> tuple[float, float] | None:
    """Found and goal as numbers, where both are shares or both are plain."""
    number = r"([\d,]+(?:\.\d+)?)(%?)"
    goal = re.match(rf"[≤≥] {number}", row.goal)
    found = re.search(number, row.result)
    if not goal or not found or goal[2] != found[2]:
        return None
    wanted = float(goal[1].replace(",", ""))
    return (float(found[1].replace(",", "")), wanted) if wanted else None


def _section(part: Part, measured: Measured) -> str:
    took = f"Took {measured.seconds:.0f} s, seed {measured.seed}."
    return "\n\n".join([f"## {part.title}", part.about, table(measured.rows), took])


def table(rows: Sequence[Row]) -> str:
    """Return the rows of one part."""
    lines = ["| measured | goal | found | | claim |", "|---|---|---|---|---|"]
    lines += [
        f"| {r.measured} | {r.goal} | {r.result} | {MARKS[r.met]} | {r.claim} |" for r in rows
    ]
    return "\n".join(lines)
