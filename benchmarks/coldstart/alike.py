"""Fleets whose people do not differ: personalisation is to be off, and to cost nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from benchmarks.coldstart.lines import Line, line_without
from benchmarks.coldstart.people import alike
from benchmarks.coldstart.study import Study, StudyResult, Work
from benchmarks.coldstart.teaching import Session, session, shuffled
from benchmarks.statistics.part import Row, rate

ORDERS: Final = 10
OFF: Final = 0.99


def measure(work: Work) -> StudyResult:
    """Teach every unit that was held out, with the prior's verdict and against it."""
    rows = []
    for whom in alike(work):
        lines = [line_without(work, whom, group) for group in whom.held_out]
        helps = sum(line.prior.helps for line in lines)
        name = whom.name
        told = f"{helps} of {len(lines)}"
        rows.append(Row(f"{name}: priors that say that units differ", "0", told, helps == 0))
        rows += _rows(name, [s for line in lines for s in _sessions(work, line, forced=False)], 0.0)
        forced = [s for line in lines for s in _sessions(work, line, forced=True)]
        gain = 100 * np.mean([one.accuracy[-1] - one.fleet for one in forced])
        rows.append(
            Row(f"{name}: gain if the verdict said that they do", "", f"{gain:+.2f} points")
        )
    return StudyResult(rows)


def _rows(name: str, sessions: list[Session], least: float) -> list[Row]:
    off = sum(one.personalised == 0 for one in sessions)
    gain = float(np.mean([one.accuracy[-1] - one.fleet for one in sessions]))
    return [
        Row(f"{name}: units that are answered by the release alone after 50 labels",
            f"≥ {OFF:.0%}", rate(off, len(sessions)), off / len(sessions) >= OFF),
        Row(f"{name}: mean gain", "≥ 0 points", f"{100 * gain:+.2f} points", gain >= least),
    ]  # fmt: skip


def _sessions(work: Work, line: Line, *, forced: bool) -> list[Session]:
    prior = replace(line.prior, helps=True) if forced else line.prior
    found = []
    with line.device(prior) as device:
        for unit in line.people.units(line.group):
            for order in range(1 if work.quick else ORDERS):
                teach = shuffled(line.people.of(unit, 0), work.random(8, unit, order))
                test = line.people.of(unit, 1)
                found.append(session(device, f"{unit}-{order}", teach, test, counts=(50,)))
    return found


STUDY: Final = Study(
    "Fleets that do not differ",
    "Digits are dealt out at random, and the watch's windows get the names of other people. Every "
    "unit that was held out teaches 50 labels.",
    measure,
)
