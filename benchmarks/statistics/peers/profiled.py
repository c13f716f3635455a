"""What whylogs would send of one window: ``python profiled.py GIVEN.npz TOLD.npz``."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import whylogs


def main() -> None:
    """Read, measure, write."""
    with np.load(sys.argv[1]) as file:
        rows = file["rows"]
    frame = pd.DataFrame(rows, columns=[f"f{i}" for i in range(rows.shape[1])])
    raw = whylogs.log(frame).view().serialize()
    first = frame.iloc[:, 0].to_numpy()
    held = sum(
        np.float64(value).tobytes() in raw or np.float32(value).tobytes() in raw for value in first
    )
    np.savez(sys.argv[2], bytes=len(raw), verbatim=held, values=len(first))


if __name__ == "__main__":
    main()
