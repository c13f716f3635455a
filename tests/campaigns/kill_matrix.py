"""SIGKILL at every write-like system call of a device: always a whole release, then it completes.

``python -m tests.campaigns.kill_matrix [--case update] [--every 7] [--kills 100]``

In each case a first device acts under ``strace``, which lists the calls that would change something
in its state folder. Then a new device for each of them is killed as it enters that call. It is
opened without a hub: it must answer as before or as afterwards, all of it. Then it acts again with
its hub, and must end where the first one did.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.campaigns.harness.cases import Judged, judge_all, parse, report
from tests.campaigns.harness.device_cases import Expected, Place
from tests.campaigns.harness.forked import Child
from tests.campaigns.harness.rehearsal import FIRST, Rehearsal
from tests.campaigns.harness.strace import Call, kill_at, list_calls

BATCH: Final = 32
"""Devices that are prepared at once, under one plan."""


@dataclass
class Matrix(Judged):
    """What came of one case.

    Attributes:
        calls: write-like calls on the state folder, of which kills were chosen.
        kills: devices that were killed.
        survived: devices that ended before the call came, as may happen where runs differ.
        at: kills by name of the call.
    """

    calls: int = 0
    kills: int = 0
    survived: int = 0
    at: Counter[str] = field(default_factory=Counter)


def chosen(calls: Sequence[Call], every: int, most: int | None) -> list[Call]:
    """Return each ``every``-th call, and at most ``most`` of those, spread evenly."""
    picked = list(calls)[::every]
    if most is None or len(picked) <= most:
        return picked
    return [picked[int(i * len(picked) / most)] for i in range(most)]


def run_case(rehearsal: Rehearsal, folder: Path, every: int, most: int | None) -> Matrix:
    """Kill devices of one case at its calls."""
    matrix = Matrix(rehearsal.case.name)
    log = folder / "strace.log"
    expected, calls = rehearsal.first(lambda child: list_calls(child, log))
    state = rehearsal.place(FIRST).state
    main = calls[0].pid
    # Ordinals are counted by thread: only the one that acts can be killed at a named call.
    calls = [call for call in calls if call.pid == main and call.touches(state)]
    matrix.calls = len(calls)
    for call, place in _devices(rehearsal, chosen(calls, every, most)):
        _kill(rehearsal, matrix, expected, call, place, log)
    return matrix


def _devices(rehearsal: Rehearsal, calls: Sequence[Call]) -> Iterator[tuple[Call, Place]]:
    for start in range(0, len(calls), BATCH):
        batch = calls[start : start + BATCH]
        names = [f"{start + i}" for i in range(len(batch))]
        yield from zip(batch, rehearsal.devices(names), strict=True)


def _kill(
    rehearsal: Rehearsal, matrix: Matrix, expected: Expected, call: Call, place: Place, log: Path
) -> None:
    case = rehearsal.case
    child = Child(lambda: case.act(place))
    ended, hit = kill_at(child, call.name, call.ordinal, log)
    if not ended.killed:
        matrix.survived += 1
    else:
        matrix.kills += 1
        matrix.at[call.name] += 1
    found = rehearsal.looked_at(place)
    expected = Expected(expected.before, expected.after, case.serial)
    at = hit.told(place.state) if hit is not None else "no call"
    matrix.judge(expected, found, f"{case.name}, killed at {at}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the cases; 0 if no device was broken."""
    arguments = parse(
        __doc__ or "", argv, every="kill at each so-manyeth call", kills="in each case, at most"
    )
    every, most = arguments.every or 1, arguments.kills
    run = lambda rehearsal, folder: run_case(rehearsal, folder, every, most)  # noqa: E731
    done = list(judge_all(arguments.case, run, told))
    return report(done, f"{sum(m.kills for m in done)} kills", arguments.json)


def told(matrix: Matrix, seconds: float) -> str:
    """Return one line about a case."""
    at = ", ".join(f"{name} {count}" for name, count in matrix.at.most_common())
    return (
        f"{matrix.case}: {matrix.kills} kills at {matrix.calls} calls ({at}); "
        f"{matrix.survived} ended before; answered as {dict(matrix.answered)}; "
        f"{len(matrix.broken)} broken; {seconds:.0f} s"
    )


if __name__ == "__main__":
    sys.exit(main())
