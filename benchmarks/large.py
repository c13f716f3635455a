"""What the conversion of a large network costs: seconds and memory, each in a process of its own.

``python -m benchmarks.large NETWORK FILE OUT`` is such a process; it prints its figures as JSON.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from benchmarks.large_networks import LARGE
from converters import convert
from edge_sdk.bench.goals import Goal
from edge_sdk.bench.result import Findings, GoalRow

Tell = Callable[[str], None]

ROW: Final = 5
SECONDS: Final = Goal(ROW, "conversion, certificate included, processor time", 120.0, "s")
MEMORY: Final = Goal(ROW, "peak memory of the process, share of the file", 4.0, "x")

FROM: Final = 100_000_000
"""Bytes of files from which the goal of memory counts: Python and its packages are more than
smaller ones."""

UNTIL: Final = 150_000_000
"""Bytes of files up to which the goal of seconds counts."""

MEBIBYTE: Final = 1 << 20


@dataclass(frozen=True)
class Cost:
    """Cost of one conversion.

    Attributes:
        seconds: that passed.
        processor_seconds: of all threads.
        silence: the longest time between two lines of progress, s.
        before: bytes that the process held at most before: packages and rows.
        peak: bytes that it held at most.
        chosen: name of the variant.
        tried: number of variants that were measured.
        left_out: others, with their reasons.
    """

    seconds: float
    processor_seconds: float
    silence: float
    before: int
    peak: int
    chosen: str
    tried: int
    left_out: tuple[str, ...]


def measure(folder: Path, tell: Tell, names: Iterable[str] = LARGE) -> Findings:
    """Convert each network in a process of its own.

    Args:
        folder: for files and releases.
        tell: called with the name of each network.
        names: some of :data:`benchmarks.large_networks.LARGE`.
    """
    findings = Findings()
    for i, name in enumerate(names):
        tell(name)
        path = LARGE[name].write(folder / f"large-{i}.onnx")
        out = str(folder / f"large-{i}")
        command = [sys.executable, "-m", "benchmarks.large", name, str(path), out]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        findings += _findings(name, path.stat().st_size, Cost(**json.loads(done.stdout)))
        path.unlink()
    return findings


def _findings(name: str, size: int, cost: Cost) -> Findings:
    claims = []
    if size <= UNTIL:
        claims.append(GoalRow.of(SECONDS, cost.processor_seconds, name))
    else:
        claims.append(
            GoalRow(ROW, f"{SECONDS.what}, {name}", round(cost.processor_seconds, 1), "s")
        )
    if size >= FROM:
        claims.append(GoalRow.of(MEMORY, cost.peak / size, name))
    facts = {
        f"{name}: bytes of the file": float(size),
        f"{name}: rows": float(LARGE[name].rows),
        f"{name}: time that passed, other work of the machine included, s": cost.seconds,
        f"{name}: longest time without a line of progress, s": cost.silence,
        f"{name}: peak memory, MiB": cost.peak / MEBIBYTE,
        f"{name}: of that before the conversion, packages and rows, MiB": cost.before / MEBIBYTE,
        f"{name}: variants that were measured": float(cost.tried),
    }
    notes = [f"{name}: chosen {cost.chosen}"]
    notes += [f"{name}: {why}" for why in cost.left_out]
    return Findings((), tuple(claims), facts, tuple(notes))


def cost_of(name: str, path: Path, out: Path) -> Cost:
    """Convert one network in this process."""
    X, y = LARGE[name].samples()
    before, steps = _peak(), [time.perf_counter()]
    started = time.process_time()

    def progress(step: str) -> None:
        steps.append(time.perf_counter())
        print(f"  {steps[-1] - steps[0]:.0f} s, {_peak() >> 20} MiB: {step}", file=sys.stderr)

    release = convert(path, X, y, name="m", out=out, output="probabilities", progress=progress)
    steps.append(time.perf_counter())
    certificate = release.certificate()
    tried = {variant.name for variant in certificate.variants}
    return Cost(
        steps[-1] - steps[0],
        time.process_time() - started,
        max(b - a for a, b in itertools.pairwise(steps)),
        before,
        _peak(),
        certificate.chosen,
        len(tried),
        tuple(f"{n}: {w}" for n, w in certificate.not_chosen.items() if n not in tried),
    )


def _peak() -> int:
    """Return the most bytes that this process has held so far."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) << 10


if __name__ == "__main__":
    name, path, out = sys.argv[1:]
    print(json.dumps(asdict(cost_of(name, Path(path), Path(out)))))
