"""Statistics of windows of seglearn's smartwatch recordings (BSD-3-Clause).

``python watch_windows.py INPUT.npz OUTPUT.npz``; INPUT is not read. Ten people did seven shoulder
exercises with either arm, a watch on its wrist: acceleration and turning rate on three axes at
50 Hz. Source: D. Burns et al., "Shoulder physiotherapy exercise recognition", Physiological
Measurement 39, 2018 (arXiv:1802.01489).
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

WIDTH, STEP = 100, 50
"""Samples: two seconds, every second."""


def statistics(windows: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return seven statistics [N, 42] of each of the six signals of windows [N, WIDTH, 6]."""
    steps = np.abs(np.diff(windows, axis=1))
    parts = [windows.mean(1), windows.std(1), windows.min(1), windows.max(1)]
    parts += [np.median(windows, 1), steps.mean(1), np.sqrt((windows**2).mean(1))]
    return np.concatenate(parts, axis=1).astype(np.float32)


def recordings() -> Any:
    """Return what seglearn holds, without importing it: it wants an old scikit-learn."""
    spec = importlib.util.find_spec("seglearn")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("expected seglearn in this environment")
    path = Path(spec.submodule_search_locations[0]) / "data" / "watch_dataset.npy"
    return np.load(path, allow_pickle=True).item()  # a pickle of the package that pip installed


def main() -> None:
    """Write X [N, 42], and label, subject, side and half (0: first of its recording) [N]."""
    data = recordings()
    windows, owners = [], []
    for signal, *owner in zip(data["X"], data["y"], data["subject"], data["side"], strict=True):
        middle = len(signal) // 2
        for half, part in enumerate((signal[:middle], signal[middle:])):
            # No window is in both halves: nobody is tested on what was taught.
            for start in range(0, len(part) - WIDTH + 1, STEP):
                windows.append(part[start : start + WIDTH])
                owners.append((*owner, half))
    label, subject, side, half_of = np.array(owners).astype(np.int64).T
    rows = statistics(np.array(windows, dtype=np.float64))
    np.savez(sys.argv[2], X=rows, label=label, subject=subject, side=side, half=half_of)


if __name__ == "__main__":
    main()
