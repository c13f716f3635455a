"""Running a script of this folder with the peers' Python."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

HERE: Final = Path(__file__).parent
PEERS: Final = HERE.parents[2] / ".venv" / "peers"
PYTHON: Final = PEERS / "bin" / "python"
ABSENT: Final = "not measured: make peers"


def available() -> bool:
    """Whether the environment is there; ``make peers`` makes it."""
    return (PEERS / "installed").exists()


def run(script: str, folder: Path, **arrays: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Give ``arrays`` to a script and take what it gives back.

    Raises:
        RuntimeError: it failed; what it said is in the message.
    """
    given, told = folder / "given.npz", folder / "told.npz"
    np.savez(given, **arrays)  # type: ignore[arg-type]
    command = [str(PYTHON), "-W", "ignore", str(HERE / script), str(given), str(told)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{script}: {done.stderr[-2_000:]}")
    with np.load(told) as file:
        return {name: file[name] for name in file.files}
