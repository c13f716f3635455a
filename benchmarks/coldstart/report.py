"""``benchmarks/COLD_START.md``: goals with what was measured, then each study's tables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from benchmarks.coldstart.study import Study, StudyResult
from benchmarks.statistics.part import Row
from edge_sdk.bench import machine

ABOUT: Final = """# Cold start, measured

Written by `make coldstart`; `python -m benchmarks.coldstart --only STUDY` measures one study anew
and keeps the others. Everything runs through the product: a converted release, a prior that the
hub's fit made without the people who are tested, `EdgeDevice.offline(release, prior=…)`,
`predict(x, unit=…)`, `feedback`. Goals were set beforehand, and stay where they are missed.

Data: smartwatch recordings of ten people from [seglearn](https://pypi.org/project/seglearn/)
1.2.5 (BSD-3-Clause; D. Burns et al., Physiological Measurement 39, 2018): seven shoulder exercises,
either arm, statistics [42] of windows of two seconds, classified by a network of 64 and 32 neurons.
Peers in the same run: [river](https://riverml.xyz) 0.26.1, scikit-learn. What the method is, and
what it does not do: [docs/COLD_START.md](../docs/COLD_START.md)."""

MARKS: Final = {True: "met", False: "**missed**", None: ""}


@dataclass(frozen=True)
class Finished:
    """What a study found, in how many seconds, from which seed."""

    result: StudyResult
    seconds: float
    seed: int


def page(studies: Mapping[str, Study], finished: Mapping[str, Finished], before: str = "") -> str:
    """Return the page.

    Args:
        studies: all that there are, in order.
        finished: those that were run.
        before: the last page; its sections stay for the others.
    """
    kept = _sections(before)
    sections = []
    for name, study in studies.items():
        if name in finished:
            sections.append(_section(study, finished[name]))
        elif study.title in kept:
            sections.append(kept[study.title])
    text = "\n".join(sections)
    met, missed = text.count("| met |"), text.count("| **missed** |")
    return "\n\n".join([ABOUT, f"{met} of {met + missed} goals are met.", *sections]) + "\n"


def table(rows: list[Row]) -> str:
    """Return rows as Markdown."""
    lines = ["| measured | goal | found | |", "|---|---|---|---|"]
    return "\n".join(
        lines + [f"| {r.measured} | {r.goal} | {r.result} | {MARKS[r.met]} |" for r in rows]
    )


def _section(study: Study, done: Finished) -> str:
    facts = machine.facts()
    where = ", ".join(
        f"{name} {facts[name]}" for name in ("cpu", "cores", "python") if name in facts
    )
    took = f"Took {done.seconds:.0f} s, seed {done.seed}; {where}."
    pictures = [f"![{study.title}]({name})" for name in done.result.pictures]
    parts = [f"## {study.title}", study.about, table(list(done.result.rows))]
    return "\n\n".join([*parts, *done.result.tables, *pictures, took])


def _sections(text: str) -> dict[str, str]:
    parts = re.split(r"^## ", text.strip(), flags=re.MULTILINE)[1:]
    return {part.partition("\n")[0]: f"## {part}".strip() for part in parts}
