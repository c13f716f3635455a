"""Row 6: import time and memory of a serving process, against one that serves the plain file.

Each figure is a median over fresh processes, ours and bare ones in turn, after one of each that
only warms the file cache and compiles what is a checkout, as pip compiles what it installs. Both
answer the same rows before memory is read.
"""

from __future__ import annotations

import json
import os
import pickle
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edge_sdk.bench import goals
from edge_sdk.bench.result import RSS, Findings, GoalRow
from edge_sdk.errors import BenchError

if TYPE_CHECKING:
    from edge_sdk.bench.harness import Effort
    from edge_sdk.bench.subject import Subject

CALLS: Final = 2_000
_SECONDS: Final = 120.0

_OURS: Final = """
from edge_sdk import EdgeDevice
imported = time.perf_counter()
device = EdgeDevice.offline(model, pack=pack or None)
ask = device.predict
"""

_BARE: Final = """
import numpy, onnxruntime
imported = time.perf_counter()
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
ask = lambda x: session.run(None, x)
"""

_BEFORE: Final = """
import time
started = time.perf_counter()
import json, mmap, pickle, sys
model, pack, rows, calls = sys.argv[1:]
"""

# Two hundred milliseconds are enough for a device's background thread to fold what it was asked.
_AFTER: Final = """
opened = time.perf_counter()
with open(rows, "rb") as file:
    inputs = pickle.load(file)
loaded = time.perf_counter()
for i in range(int(calls)):
    ask(inputs[i % len(inputs)])
    if i == 0:
        answered = time.perf_counter()
time.sleep(0.2)
try:
    with open("/proc/self/statm") as file:
        rss = int(file.read().split()[1]) * mmap.PAGESIZE / (1 << 20)
except (OSError, ValueError, IndexError):
    rss = None
ready = opened - started + answered - loaded
found = {"import_ms": (imported - started) * 1e3, "ready_ms": ready * 1e3, "rss_mb": rss}
print(json.dumps(found))
"""


def measure(subject: Subject, effort: Effort) -> Findings:
    """Measure medians over processes; no memory where the platform does not report it."""
    compiled = subject.folder / "bytecode"
    ours = _command(subject, _OURS, subject.release.folder, subject.inputs)
    bare = _command(subject, _BARE, subject.release.model_path, subject.raw_feeds)
    samples: dict[str, list[Mapping[str, Any]]] = {"ours": [], "bare": []}
    for number in range(effort.processes + 1):
        pair = {"ours": _run(ours, compiled), "bare": _run(bare, compiled)}
        for name in pair if number else ():
            samples[name].append(pair[name])
    mine, theirs = (_medians(samples[name]) for name in ("ours", "bare"))
    claims = [GoalRow.of(goals.IMPORT, mine["import_ms"] - theirs["import_ms"])]
    facts = {
        "import, ms": mine["import_ms"],
        "import of bare onnxruntime, ms": theirs["import_ms"],
        "from import to the first answer, ms": mine["ready_ms"],
        "from import to the first answer of bare onnxruntime, ms": theirs["ready_ms"],
    }
    if "rss_mb" not in mine:
        return Findings((), tuple(claims), facts, ("this platform does not report memory",))
    claims.append(GoalRow.of(goals.MEMORY, mine["rss_mb"] - theirs["rss_mb"]))
    facts |= {RSS: mine["rss_mb"], "the same of bare onnxruntime, MiB": theirs["rss_mb"]}
    return Findings(claims=tuple(claims), facts=facts)


def _command(subject: Subject, middle: str, model: Path, inputs: Sequence[Any]) -> list[str]:
    rows = subject.folder / f"{model.name}.rows"
    rows.write_bytes(pickle.dumps(list(inputs)))
    script = _BEFORE + middle + _AFTER
    pack = str(subject.pack or "")
    return [sys.executable, "-c", script, str(model), pack, str(rows), str(CALLS)]


def _run(command: list[str], compiled: Path) -> Mapping[str, Any]:
    # The child processes import the same tree as this one, and none compiles it again.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["PYTHONPYCACHEPREFIX"] = str(compiled)
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=_SECONDS, env=environment
        )
        figures: Mapping[str, Any] = json.loads(done.stdout)
    except subprocess.CalledProcessError as error:
        raise BenchError(f"a process that serves failed; {error.stderr.strip()[-500:]}") from error
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise BenchError(f"a process that serves cannot be measured; {error}") from error
    return figures


def _medians(samples: list[Mapping[str, Any]]) -> dict[str, float]:
    reported = [name for name in samples[0] if all(sample[name] is not None for sample in samples)]
    return {name: round(statistics.median(s[name] for s in samples), 2) for name in reported}
