"""Joules for a thousand predictions, where the processor counts its energy (Intel RAPL, in sysfs).

The counters are those of whole processor packages: what idles or works beside the benchmark is
counted too, in our turns and the peer's alike.
"""

from __future__ import annotations

import itertools
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_sdk.bench.harness import Candidate, Effort
from edge_sdk.bench.result import Findings
from edge_sdk.bench.subject import Subject

POWERCAP: Final = Path("/sys/class/powercap")
_AT_ONCE: Final = 16
_UNREADABLE: Final = (
    "energy: not measured, no readable RAPL counter in /sys/class/powercap (it takes an x86 "
    "processor that is not virtualised, and often root)"
)


@dataclass(frozen=True)
class Counter:
    """The energy counter of one processor package, in microjoules, beginning again at ``range``."""

    path: Path
    range: int

    def read(self) -> int:
        """How it stands."""
        return int((self.path / "energy_uj").read_text())


def counters(root: Path = POWERCAP) -> list[Counter]:
    """One for each processor package; none where they cannot be read."""
    found = []
    for path in sorted(root.glob("intel-rapl:*")):
        if path.name.count(":") != 1:
            continue  # a part of a package, which counts for it already
        try:
            counter = Counter(path, int((path / "max_energy_range_uj").read_text()))
            counter.read()
        except (OSError, ValueError):
            continue
        found.append(counter)
    return found


def used(before: int, after: int, counter_range: int) -> int:
    """Microjoules between two readings, of which the counter may have begun again once."""
    return after - before if after >= before else after - before + counter_range


def measure(subject: Subject, effort: Effort, root: Path = POWERCAP) -> Findings:
    """Joules for a thousand predictions, ours and the raw call's in turn; a note where not."""
    found = counters(root)
    if not found:
        return Findings(notes=(_UNREADABLE,))
    with subject.device() as device:
        candidates = [subject.ours(device), subject.raw(None), subject.raw(1)]
        spent: dict[str, list[float]] = {c.name: [] for c in candidates}
        for _ in range(3):
            for candidate in candidates:
                turn = joules(candidate, effort.energy_seconds, found)
                spent[candidate.name].append(turn)
    names = {name: f"energy of 1,000 predictions, {name}, J" for name in spent}
    return Findings(
        facts={names[n]: round(statistics.median(values), 6) for n, values in spent.items()}
    )


def joules(candidate: Candidate, seconds: float, found: list[Counter]) -> float:
    """Joules for a thousand calls."""
    inputs = itertools.cycle(candidate.inputs)
    before = [counter.read() for counter in found]
    calls, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        for x in itertools.islice(inputs, _AT_ONCE):
            candidate.ask(x)
        calls += _AT_ONCE
    after = [counter.read() for counter in found]
    total = sum(used(b, a, c.range) for b, a, c in zip(before, after, found, strict=True))
    return total / 1e6 / calls * 1e3
