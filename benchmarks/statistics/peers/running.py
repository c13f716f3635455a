"""Running a script of this folder with the peers' Python."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

HERE: Final = Path(__file__).parent
PEERS: Final = HERE.parents[2] / ".venv" / "peers"
PYTHON: Final = PEERS / "bin" / "python"
SILENT: Final = {"NML_DISABLE_USAGE_LOGGING": "1", "DO_NOT_TRACK": "1"}
"""So that NannyML and Evidently tell nobody that they are used: a benchmark needs no network."""

ABSENT: Final = "not measured: make peers"


def available() -> bool:
    """Return True if the environment is there; ``make peers`` makes it."""
    return (PEERS / "installed").exists()


def run(script: str, folder: Path, **arrays: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Run a script with ``arrays`` and return the arrays that it writes.

    Raises:
        RuntimeError: it failed; its stderr is in the message.
    """
    inputs, outputs = folder / "input.npz", folder / "output.npz"
    np.savez(inputs, **arrays)  # type: ignore[arg-type]
    command = [str(PYTHON), "-W", "ignore", str(HERE / script), str(inputs), str(outputs)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **SILENT}
    )
    if done.returncode:
        raise RuntimeError(f"{script}: {done.stderr[-2_000:]}")
    with np.load(outputs) as file:
        return {name: file[name] for name in file.files}
