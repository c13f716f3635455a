"""Random trees in the runtimes that devices have: does each add up what the reference does?

``make tree-runtimes`` installs each version of onnxruntime into an environment of its own and runs
the same files there. Versions without the newer operator are asked for the older one alone.
"""

from __future__ import annotations

import argparse
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from converters.onnx_export.serialise import to_bytes
from converters.trees.compact import compact
from tests.converters.trees.test_trees import NUMBERS, classic_model, random_ensemble

VERSIONS = ("1.20.1", "1.21.1", "1.22.1", "1.23.2", "1.24.4", "1.25.1", "1.26.0", "1.27.0")
FIRST_COMPACT = (1, 21)

ASK = """
import pickle, sys
import numpy as np, onnxruntime
onnxruntime.set_default_logger_severity(4)
files, wrong, failed = pickle.load(open(sys.argv[1], "rb")), 0, 0
newer = tuple(map(int, onnxruntime.__version__.split(".")[:2])) >= tuple(map(int, sys.argv[2:]))
for kind, raw, rows, expected in files:
    if kind == "compact" and not newer:
        continue
    try:
        session = onnxruntime.InferenceSession(raw, providers=["CPUExecutionProvider"])
        found = session.run(None, {"X": rows})[0]
    except Exception:
        failed += 1
        continue
    wrong += not np.allclose(found, expected, rtol=1e-6, atol=1e-6)
print(f"onnxruntime {onnxruntime.__version__}: {len(files)} files, {wrong} wrong, {failed} failed")
sys.exit(bool(wrong or failed))
"""


def files(count: int) -> Iterator[tuple[str, bytes, Any, Any]]:
    """Kind, bytes, rows and expected sums of random ensembles."""
    for seed in range(count):
        random = np.random.default_rng(seed)
        targets, one_each, average = int(random.integers(1, 4)), seed % 2 == 0, seed % 3 == 0
        ensemble = random_ensemble(seed, targets, one_each=one_each)
        if seed % 5 == 0:
            ensemble = ensemble.with_base(np.arange(targets) + 1.0)
        rows = random.choice(NUMBERS, (100, 3)).astype(np.float32)
        expected = ensemble.sums(rows) / (len(ensemble.roots) if average else 1)
        proto = classic_model(ensemble, average=average)
        yield "classic", to_bytes(proto), rows, expected
        yield "compact", to_bytes(compact(proto)), rows, expected


def main(argv: Sequence[str] | None = None) -> int:
    """Run the files in every version; 0 if all agree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=2_000)
    parser.add_argument("--environments", type=Path, default=Path(".venv/runtimes"))
    parser.add_argument("--versions", nargs="*", default=VERSIONS)
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "files.pickle"
        path.write_bytes(pickle.dumps(list(files(arguments.trials))))
        asked = ["-c", ASK, str(path), *map(str, FIRST_COMPACT)]
        pythons = [python_with(v, arguments.environments) for v in arguments.versions]
        done = [
            subprocess.run([python, *asked], check=False) for python in (sys.executable, *pythons)
        ]
    return int(any(run.returncode for run in done))


def python_with(version: str, folder: Path) -> str:
    """A Python that has this version of onnxruntime, made if need be."""
    where = folder / version
    python = where / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(where)], check=True)
        wanted = [f"onnxruntime=={version}", "numpy"]
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *wanted], check=True)
    return str(python)


if __name__ == "__main__":
    sys.exit(main())
