"""The power ends: whatever no ``fsync`` covered is lost or torn, and the device is whole.

``python -m tests.campaigns.lost_writes [--case update] [--states 500]``

One device acts under ``strace``, which writes down all that it does to its state folder. From that
log every state is made in which :mod:`tests.campaigns.disk_model` lets the disk be after a power
cut at each operation, renames and folders included. A device is opened on each: offline it must
answer as before or as afterwards, all of it; then it acts again with its hub, and must end where
the first one did. What was lost after the act had ended must not be missed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.campaigns.device_cases import CASES, Expected, why_not
from tests.campaigns.disk_log import DiskLog
from tests.campaigns.disk_model import Tree, every_crash
from tests.campaigns.fleet_hub import FleetHub
from tests.campaigns.forked import Child, Ended, memory_folder
from tests.campaigns.hub_memory import HubMemory
from tests.campaigns.rehearsal import FIRST, Rehearsal
from tests.campaigns.strace import Call, missing, record


@dataclass
class Losses:
    """What came of one case.

    Attributes:
        case: its name.
        operations: on the state folder.
        states: different states of the disk that were possible.
        tried: how many of them a device was opened on.
        answered: how often devices answered offline as ``before`` or as ``after``.
        lost: tried states by what was lost.
        broken: a sentence for each device that was not whole.
    """

    case: str
    operations: int = 0
    states: int = 0
    tried: int = 0
    answered: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)


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
        losses.answered["after" if found["offline"] == expected.after else "before"] += 1
        # What was reported as done must have been on the disk.
        wanted = replace(expected, before=expected.after) if at == len(log.operations) else expected
        where = f"{losses.case}, operation {at} of {losses.operations}, {lost}"
        losses.broken += [f"{where}: {wrong}" for wrong in wanted.wrong(found)]
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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--case", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--states", type=int, help="in each case, at most")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args(argv)
    if (why := missing()) is not None:
        parser.exit(2, f"lost writes: {why}\n")
    done: list[Losses] = []
    with tempfile.TemporaryDirectory(prefix="lost-writes-", dir=memory_folder()) as folder:
        hub = FleetHub(Path(folder))
        try:
            for name in arguments.case:
                if (why := why_not(name)) is not None:
                    print(f"{name}: not tried; {why}")
                    continue
                began = time.monotonic()
                rehearsal = Rehearsal(CASES[name](hub, name.replace(" ", "-")), Path(folder))
                if not done:
                    rehearsal.import_all()
                done.append(run_case(rehearsal, Path(folder), arguments.states))
                print(told(done[-1], time.monotonic() - began), flush=True)
        finally:
            hub.close()
    broken = [sentence for losses in done for sentence in losses.broken]
    print(f"{sum(d.tried for d in done)} power cuts, {len(broken)} broken", *broken, sep="\n")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps([vars(losses) for losses in done], indent=1))
    return 1 if broken else 0


def told(losses: Losses, seconds: float) -> str:
    """Return one line about a case."""
    return (
        f"{losses.case}: {losses.tried} of {losses.states} states after {losses.operations} "
        f"operations; answered as {dict(losses.answered)}; {len(losses.broken)} broken; "
        f"{seconds:.0f} s"
    )


if __name__ == "__main__":
    sys.exit(main())
