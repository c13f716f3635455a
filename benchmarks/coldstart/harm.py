"""Harm: sessions that end worse than the fleet's model, wrong labels, a unit that lies."""

from __future__ import annotations

from typing import Final

import numpy as np

from benchmarks.coldstart.lines import Line, line_without
from benchmarks.coldstart.people import People, people
from benchmarks.coldstart.study import Study, StudyResult, Work
from benchmarks.coldstart.teaching import (
    Session,
    session,
    share_right,
    shuffled,
    wrong_labels,
)
from benchmarks.statistics.part import Row, rate
from edge_sdk import EdgeDevice

ORDERS: Final = 15
LABELS: Final = 50
NOISE: Final = (0.0, 0.3)
HARM: Final = 0.02
ALLOWED: Final = 0.02
LIES: Final = 400


def measure(work: Work) -> StudyResult:
    """Measure sessions with right and with wrong labels, then a liar among others."""
    whom = people(work)
    rows, table = [], ["| labels that are wrong | worse by > 2 points | mean gain | worst | "
                       "during the session |", "|---:|---|---:|---:|---:|"]  # fmt: skip
    for noise in NOISE:
        sessions = _sessions(work, whom, noise)
        gains = np.array([one.accuracy[-1] - one.fleet for one in sessions])
        # Half a thousandth: shares of the same rows are compared, and 0.02 is no binary fraction.
        worse = int(np.sum(gains < -HARM - 5e-4))
        share = worse / len(gains)
        name = f"sessions worse by > 2 points after {LABELS} labels, {noise:.0%} of them wrong"
        rows.append(Row(name, f"≤ {ALLOWED:.0%}", rate(worse, len(gains)), share <= ALLOWED))
        asked = np.mean([one.asked - one.asked_fleet for one in sessions])
        table.append(
            f"| {noise:.0%} | {rate(worse, len(gains))} | {100 * gains.mean():+.1f} points | "
            f"{100 * gains.min():+.1f} points | {100 * asked:+.1f} points |"
        )
    return StudyResult([*rows, *_liar(work, whom)], ["\n".join(table)])


def _sessions(work: Work, whom: People, noise: float) -> list[Session]:
    found = []
    for group in whom.held_out:
        with line_without(work, whom, group).device() as device:
            for unit in whom.units(group):
                for order in range(2 if work.quick else ORDERS):
                    random = work.random(5, unit, order)
                    teach = shuffled(whom.of(unit, 0), random)
                    told = wrong_labels(teach, noise, whom.classes, random)
                    name, test = f"{unit}-{order}", whom.of(unit, 1)
                    found.append(session(device, name, teach, test, counts=(LABELS,), told=told))
    return found


def _liar(work: Work, whom: People) -> list[Row]:
    """A unit that always names the class after the right one, among units that do not lie."""
    group = whom.in_pairs().held_out[0] if not work.quick else whom.held_out[0]
    paired = whom if work.quick else whom.in_pairs()
    line = line_without(work, paired, group)
    prior = line.prior.to_bytes()
    honest, liar = paired.units(group)[:-1], paired.units(group)[-1]
    with line.device() as device:
        _teach_all(work, device, line, honest)
        before = _answers(device, line, honest)
        lies = shuffled(paired.of(liar, 0), work.random(6))
        times = -(-LIES // len(lies.y))
        for i in np.tile(np.arange(len(lies.y)), times)[:LIES]:
            p = device.predict(lies.X[i], unit="liar")
            device.feedback(p.id, label=int((lies.y[i] + 1) % paired.classes))
        after = _answers(device, line, honest)
        own = share_right(device, "liar", paired.of(liar, 1))
    differ = sum(one != other for one, other in zip(before, after, strict=True))
    told = f"{differ} of {len(before)} answers differ"
    same = line.prior.to_bytes() == prior
    return [
        Row(f"answers for others and for new units, after {LIES} lies of one unit", "unchanged",
            told, differ == 0),
        Row("the prior, after them", "unchanged", "unchanged" if same else "changed", same),
        Row("the liar's own answers that are right by the truth", "", f"{own:.1%}"),
    ]  # fmt: skip


def _teach_all(work: Work, device: EdgeDevice, line: Line, units: list[int]) -> None:
    for unit in units:
        teach = shuffled(line.people.of(unit, 0), work.random(7, unit))
        session(device, f"honest-{unit}", teach, line.people.of(unit, 1), counts=(20,))


def _answers(device: EdgeDevice, line: Line, units: list[int]) -> list[object]:
    """Labels and confidences of all honest units' test rows, and of a new unit's."""
    return [
        (p.label, p.confidence)
        for unit in units
        for name in (f"honest-{unit}", "somebody-new")
        for x in line.people.of(unit, 1).X
        for p in [device.predict(x, unit=name)]
    ]


STUDY: Final = Study(
    "Harm",
    f"Each unit's session, in {ORDERS} random orders: {LABELS} labels, of which a share names "
    "another class; then its test rows are answered for the unit and for nobody. *During the "
    "session*: right answers as served less those of the fleet's model, to the rows that taught. "
    f"The liar names the class after the right one {LIES} times.",
    measure,
)
