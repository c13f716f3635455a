"""A month of a million simulated devices, as ``edge-hub simulate`` runs it."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from typing import Final

from benchmarks.hub.scale_row import Bench, ScaleRow

DEVICES: Final = 1_000_000
MINUTES: Final = 10
WHAT: Final = "a month of 10⁶ devices through the real gates (`edge-hub simulate`), hourly windows"
GOAL: Final = "≤ 10 min"

SCENARIO: Final = """model: fleet
serving: '1.0'
devices: {devices}
duration: {duration}
window: 1h
poll: 10m
requests: 20
versions:
- {{version: '1.0', accuracy: 0.94}}
- {{version: '1.1', released: 1d, accuracy: 0.94}}
"""


def simulating(bench: Bench) -> list[ScaleRow]:
    """Run the command, and say how long it took and what it took."""
    devices, duration = (10_000, "2d") if bench.quick else (DEVICES, "30d")
    scenario = bench.folder / "fleet.yaml"
    scenario.write_text(SCENARIO.format(devices=devices, duration=duration))
    command = [sys.executable, "-m", "cloud_hub.cli.main", "simulate", str(scenario)]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    words = f"{seconds:.0f} s, {used:.0f} s of processor time, {after.ru_maxrss / 1e3:.0f} MB"
    return [ScaleRow("month", WHAT, GOAL, words, seconds <= 60 * MINUTES)]
