"""The power ends: whatever no ``fsync`` covered is lost or torn, and the device is whole.

``python -m tests.campaigns.lost_writes [--case update] [--states 500]``

One device acts under ``strace``, which writes down all that it does to its state folder. From that
log every state is made in which :mod:`tests.campaigns.harness.disk_model` lets the disk be after a
power cut at each operation, renames and folders included. A device is opened on each: offline it
must answer as before or as afterwards, all of it; then it acts again with its hub, and must end
where the first one did. What was lost after the act had ended must not be missed.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.campaigns.harness.cases import Judged, judge_all, parse, report
from tests.campaigns.harness.device_cases import Expected
from tests.campaigns.harness.disk_log import DiskLog
from tests.campaigns.harness.disk_model import Tree, every_crash
from tests.campaigns.harness.forked import Child, Ended
from tests.campaigns.harness.hub_memory import HubMemory
from tests.campaigns.harness.rehearsal import FIRST, Rehearsal
from tests.campaigns.harness.strace import Call, record


@dataclass
class Losses(Judged):
    """What came of one case.

    Attributes:
        operations: on the state folder.
        states: different states of the disk that were possible.
        tried: how many of them a device was opened on.
        lost: tried states by what was lost.
    """

    operations: int = 0
    states: int = 0
    tried: int = 0
    lost: Counter[str] = field(default_factory=Counter)


Crash = tuple[int, str, Tree]


def spread(crashes: Sequence[Crash], most: int | None, end: int) -> list[Crash]:
    """Return at most ``most`` states, evenly, and always those after the last operation."""
    if most is None or len(crashes) <= most:
        return list(crashes)
    last = [crash for crash in crashes if crash[0] == end]
    others = [crash for crash in crashes if crash[0] != end]
    wanted = max(most - len(last), 0)
    return [others[int(i * len(others) / wanted)] for i in range(wanted)] + last[:most]


def run_case(rehearsal: Rehearsal, folder: Path, most: int | None) -> Losses:
    """Cut the power of one case's device wherever it may be cut."""
    losses = Losses(rehearsal.case.name)
    memory = HubMemory(rehearsal.case.hub.process, folder / f"{rehearsal.case.model}-hub")
    expected, log = _recorded(rehearsal, folder / "strace.log", memory)
    losses.operations = len(log.operations)
    # The power ends just before the next operation: the hub knows all that came until then.
    knows = [memory.at(moment) for moment in (*log.times, time.time())]
    crashes = list(every_crash(log.start, log.operations, knows))
    losses.states = len(crashes)
    for number, crash in enumerate(spread(crashes, most, len(log.operations))):
        at, lost, tree = crash
        place = rehearsal.place(f"{number}/state")
        tree.write(place.state.parent)
        memory.put_back(knows[at])
        found = rehearsal.looked_at(place)
        losses.tried += 1
        losses.lost[lost] += 1
        # What was reported as done must have been on the disk.
        wanted = replace(expected, before=expected.after) if at == len(log.operations) else expected
        losses.judge(wanted, found, f"{losses.case}, operation {at} of {losses.operations}, {lost}")
    return losses


def _recorded(rehearsal: Rehearsal, log: Path, memory: HubMemory) -> tuple[Expected, DiskLog]:
    folder = rehearsal.place(FIRST).state.parent
    started: list[DiskLog] = []

    def run(child: Child) -> tuple[Ended, list[Call]]:
        started.append(DiskLog(folder))  # before it acts
        memory.note()
        done = record(child, log)
        memory.stop()  # before others act
        return done

    with memory.watched() as hub:
        expected, calls = rehearsal.first(run, hub)
    return expected, started[0].follow(calls)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the cases; 0 if no device was broken."""
    arguments = parse(__doc__ or "", argv, states="in each case, at most")
    run = lambda rehearsal, folder: run_case(rehearsal, folder, arguments.states)  # noqa: E731
    done = list(judge_all(arguments.case, run, told))
    return report(done, f"{sum(d.tried for d in done)} power cuts", arguments.json)


def told(losses: Losses, seconds: float) -> str:
    """Return one line about a case."""
    return (
        f"{losses.case}: {losses.tried} of {losses.states} states after {losses.operations} "
        f"operations; answered as {dict(losses.answered)}; {len(losses.broken)} broken; "
        f"{seconds:.0f} s"
    )


if __name__ == "__main__":
    sys.exit(main())
