"""Half a year of a camera that ages: the history for the example of ``edge-hub freshness``.

The sensor loses contrast and its black rises, a little every day: slow enough that a week hardly
matters, fast enough that a season does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from examples.digits.data import NOISE, split

DAYS: Final = 180
A_DAY: Final = 50
FIRST_DAY: Final = 1_767_225_600  # 2026-01-01 UTC
CONTRAST_LOSS: Final = 0.75
"""Share of the contrast that is lost by the last day."""

LIFT: Final = 9.0
"""Brightness that black gains by the last day, of 16."""


def write_history(path: Path, seed: int = 0) -> None:
    """Write an ``.npz`` of ``X`` [N, 64], ``y`` [N] and ``t`` [N] (Unix seconds).

    ``seed`` draws the pictures, their times and the noise.
    """
    train, _, stream = split()
    X, y = np.concatenate([train.X, stream.X]), np.concatenate([train.y, stream.y])
    random = np.random.default_rng(seed)
    chosen = random.integers(len(X), size=DAYS * A_DAY)
    days = np.sort(random.uniform(0, DAYS, len(chosen)))
    age = (days / DAYS)[:, None]
    aged = LIFT * age + (1 - CONTRAST_LOSS * age) * X[chosen]
    aged = np.clip(aged + random.normal(0, NOISE, aged.shape), 0, 16).astype(np.float32)
    np.savez(path, X=aged, y=y[chosen], t=FIRST_DAY + 86_400.0 * days)
