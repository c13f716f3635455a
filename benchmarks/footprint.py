"""Start-up and memory of a process that serves, each measured in processes of their own."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from typing import Final

from benchmarks.predictions import Subject

REPEATS: Final = 7
_OURS: Final = """
import sys, time; started = time.perf_counter()
import edge_sdk.device
imported = time.perf_counter() - started
device = edge_sdk.device.EdgeDevice.offline(sys.argv[1])
import numpy as np
ask = lambda: device.predict(np.zeros({width}, np.float32))
"""
_BARE: Final = """
import sys, time; started = time.perf_counter()
import onnxruntime
import numpy as np
imported = time.perf_counter() - started
session = onnxruntime.InferenceSession(sys.argv[1] + "/model.onnx")
name = session.get_inputs()[0].name
ask = lambda: session.run(None, {{name: np.zeros((1, {width}), np.float32)}})
"""
_TELL: Final = """
for _ in range(1000): ask()
pages = int(open("/proc/self/statm").read().split()[1])
print(imported * 1e3, pages * 4096 / 2**20, flush=True)
import os; os._exit(0)
"""


def footprint(subject: Subject) -> dict[str, tuple[float, float]]:
    """(milliseconds to import, MiB resident after 1,000 predictions) of ours and of onnxruntime."""
    scripts = {"edge_sdk": _OURS + _TELL, "onnxruntime": _BARE + _TELL}
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in scripts}
    # Compiled modules are kept as an installed package keeps them.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    for _ in range(REPEATS + 1):
        for name, script in scripts.items():
            code = script.format(width=subject.rows.shape[1])
            command = [sys.executable, "-c", code, str(subject.release.folder)]
            told = subprocess.run(
                command, check=True, capture_output=True, text=True, env=environment
            ).stdout
            found[name].append(tuple(map(float, told.split())))
    medians = {}
    for name, values in found.items():
        imported, resident = zip(*values[1:], strict=True)
        medians[name] = (statistics.median(imported), statistics.median(resident))
    return medians
