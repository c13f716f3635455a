"""What importing the SDK costs beside the bare runtime: ``python -m benchmarks.import_cost``.

Fresh interpreters take turns, so that a machine that slows down slows all of them down. Their
bytecode is compiled before, as pip compiles what it installs. Processor time is told beside wall
time: it says the same on a machine that is busy.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import Final

GOAL: Final = 55.0
"""Milliseconds that a device's import may take longer than the runtime's."""

STATEMENTS: Final[Mapping[str, str]] = {
    "onnxruntime": "import onnxruntime",
    "edge_sdk": "import edge_sdk",
    "EdgeDevice": "from edge_sdk import EdgeDevice",
}
"""What is imported, by name. ``EdgeDevice`` brings the runtime and numpy."""

MEASURE: Final = """
import time
wall, cpu = time.perf_counter(), time.process_time()
{statement}
print(time.perf_counter() - wall, time.process_time() - cpu)
"""


def one(statement: str, bytecode: str) -> tuple[float, float]:
    """Run a statement in a fresh interpreter; return wall and processor time, in milliseconds.

    Args:
        statement: what is timed.
        bytecode: folder of compiled modules.
    """
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-c", MEASURE.format(statement=statement)],
        env=environment | {"PYTHONPYCACHEPREFIX": bytecode},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    wall, cpu = map(float, done.stdout.split())
    return wall * 1e3, cpu * 1e3


def medians(rounds: int) -> dict[str, tuple[float, float]]:
    """Return the medians of wall and processor time by what is imported, in milliseconds."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in STATEMENTS}
    with tempfile.TemporaryDirectory(prefix="bytecode-") as bytecode:
        for turn in range(rounds + 1):
            for name, statement in STATEMENTS.items():
                times = one(statement, bytecode)
                if turn:  # the first compiles
                    taken[name].append(times)
    return {
        name: (statistics.median(w for w, _ in all_), statistics.median(c for _, c in all_))
        for name, all_ in taken.items()
    }


def main() -> int:
    """Measure and print; 1 if the processor time is over the goal."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.import_cost")
    parser.add_argument("--rounds", type=int, default=21, help="fresh interpreters of each kind")
    found = medians(parser.parse_args().rounds)
    print("| import | wall, ms | processor, ms |\n|---|---|---|")
    for name, (wall, cpu) in found.items():
        print(f"| {name} | {wall:.1f} | {cpu:.1f} |")
    wall, cpu = (a - b for a, b in zip(found["EdgeDevice"], found["onnxruntime"], strict=True))
    print(f"| EdgeDevice over onnxruntime | {wall:.1f} | {cpu:.1f} |")
    return int(cpu > GOAL)


if __name__ == "__main__":
    sys.exit(main())
