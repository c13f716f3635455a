"""People who come back and are other than before, and two people at one device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from benchmarks.coldstart.lines import line_without
from benchmarks.coldstart.people import People, people
from benchmarks.coldstart.study import Study, StudyResult, Work
from benchmarks.coldstart.teaching import COUNTS, Session, mean_by_count, session, shuffled
from benchmarks.statistics.part import Row

ORDERS: Final = 4
BLOCK: Final = 25
BLOCKS: Final = 4
RECOVERED: Final = 10
"""Labels within which a unit is to be no worse off than a new one, or than the fleet's model."""

TURN: Final = (0, 5, RECOVERED, BLOCK)
Pair = tuple[int, int]


def measure(work: Work) -> StudyResult:
    """Measure both."""
    whom = people(work)
    changed, new = _changed(work, whom)
    apart, together, alone = _shared(work, whom if work.quick else whom.in_pairs())
    return StudyResult(
        [
            *_rows("came back with another preference", changed, new, COUNTS),
            *_rows("two people under one name, in turns of 25", together, alone, TURN),
            *_rows("two people, each under an own name", apart, alone, TURN),
        ],
        [
            _table("Accuracy by labels since the change", COUNTS,
                   {"came back changed": changed, "new unit": new}),
            _table(f"Accuracy by labels since the turn, turns 2 to {BLOCKS}", TURN,
                   {"one name": together, "own names": apart, "new unit": alone}),
        ],
    )  # fmt: skip


def _changed(work: Work, whom: People) -> tuple[list[Session], list[Session]]:
    """Sessions of a unit that was another one before, and of new units with the same rows."""
    changed, new = [], []
    for group in whom.held_out:
        with line_without(work, whom, group).device() as device:
            for (before, after), order in _pairs(work, whom, group):
                random = work.random(2, before, order)
                name = f"returning-{before}-{order}"
                first, then = (shuffled(whom.of(unit, 0), random) for unit in (before, after))
                session(device, name, first, whom.of(before, 1), counts=(50,))
                changed.append(session(device, name, then, whom.of(after, 1)))
                new.append(session(device, f"{name}-new", then, whom.of(after, 1)))
    return changed, new


def _shared(work: Work, whom: People) -> tuple[list[Session], list[Session], list[Session]]:
    """Turns of two people at one device: under own names, under one name, and of new units."""
    apart: list[Session] = []
    together: list[Session] = []
    alone: list[Session] = []
    for group in whom.held_out:
        with line_without(work, whom, group).device() as device:
            for pair, order in _pairs(work, whom, group):
                random = work.random(3, pair[0], order)
                rows = {unit: shuffled(whom.of(unit, 0), random) for unit in pair}
                for turn in range(BLOCKS):
                    unit = pair[turn % 2]
                    begin = turn // 2 * BLOCK
                    part = rows[unit].part(begin, begin + BLOCK)
                    names = (
                        f"own-{unit}-{order}",
                        f"one-{pair}-{order}",
                        f"new-{unit}-{order}-{turn}",
                    )
                    found = [
                        session(device, name, part, whom.of(unit, 1), counts=TURN) for name in names
                    ]
                    if turn:
                        for kept, one in zip((apart, together, alone), found, strict=True):
                            kept.append(one)
    return apart, together, alone


def _pairs(work: Work, whom: People, group: tuple[int, ...]) -> Iterator[tuple[Pair, int]]:
    """Two units that differ: both arms of a person, or one arm of two people."""
    units = whom.units(group)
    step = len(units) // 2 if len(units) == 4 else 1  # two people with two arms
    pairs = [
        (units[i], units[i + step]) for i in range(0, len(units) - step, 2 if step == 1 else 1)
    ]
    for pair in pairs:
        for order in range(1 if work.quick else ORDERS):
            yield pair, order


def _rows(
    what: str, ours: Sequence[Session], new: Sequence[Session], counts: Sequence[int]
) -> list[Row]:
    at = list(counts).index(RECOVERED)
    mine, theirs = mean_by_count(ours)[at], mean_by_count(new)[at]
    fleet = float(np.mean([one.fleet for one in ours]))
    return [
        Row(f"{what}: after {RECOVERED} labels, less {than}", "≥ -1 point",
            f"{100 * gap:+.1f} points", gap >= -0.01)
        for than, gap in (("a new unit's", mine - theirs), ("the fleet's", mine - fleet))
    ]  # fmt: skip


def _table(title: str, counts: Sequence[int], by_name: dict[str, list[Session]]) -> str:
    lines = [f"{title}:", "", f"| | fleet | {' | '.join(str(count) for count in counts)} |"]
    lines.append(f"|---|---:|{'---:|' * len(counts)}")
    for name, sessions in by_name.items():
        cells = " | ".join(f"{accuracy:.3f}" for accuracy in mean_by_count(sessions))
        fleet = float(np.mean([one.fleet for one in sessions]))
        lines.append(f"| {name} | {fleet:.3f} | {cells} |")
    return "\n".join(lines)


STUDY: Final = Study(
    "Returning people, and shared devices",
    "A person teaches 50 labels, and comes back with the watch on the other arm, under the same "
    "name: nothing tells the device. Beside it a new unit with the same rows. Then a device that "
    f"two people share (neither is in the fleet): they take turns of {BLOCK} labels, under one "
    "name or each under an own.",
    measure,
)
