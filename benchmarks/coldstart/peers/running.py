"""Running a script of this folder with the Python that has river, seglearn and obp."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

HERE: Final = Path(__file__).parent
PEERS: Final = HERE.parents[2] / ".venv" / "coldstart"
"""``make coldstart`` makes it; another one is given with ``--peers``."""


def available(peers: Path = PEERS) -> bool:
    """Return True if the environment is there."""
    return (peers / "installed").exists()


def run(
    script: str, folder: Path, peers: Path = PEERS, **arrays: NDArray[Any]
) -> dict[str, NDArray[Any]]:
    """Run a script with ``arrays`` and return the arrays that it writes.

    Args:
        script: file of this folder; it is called with the paths of its input and output, both
            ``.npz`` files.
        folder: for these files.
        peers: environment whose Python runs it.
        arrays: by the names under which the script finds them.

    Raises:
        RuntimeError: the environment is missing, or the script failed; its stderr is in the
            message.
    """
    if not available(peers):
        raise RuntimeError(f"expected an environment of peers in {peers}: make coldstart makes it")
    inputs, outputs = folder / f"{script}.in.npz", folder / f"{script}.out.npz"
    np.savez(inputs, **arrays)  # type: ignore[arg-type]
    python = str(peers / "bin" / "python")
    command = [python, "-W", "ignore", str(HERE / script), str(inputs), str(outputs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{script}: {done.stderr[-2_000:]}")
    with np.load(outputs) as file:
        return {name: file[name] for name in file.files}
