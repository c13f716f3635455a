"""scikit-learn's bundled handwritten digits (1,797 rows of 8 x 8 pixels, 0 to 16), in three parts,
and the same digits through a changed camera.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

TRAIN_ROWS: Final = 800
HOLDOUT_ROWS: Final = 300
CONTRAST: Final = 0.6
OFFSET: Final = 1.5
NOISE: Final = 0.7

Pixels = NDArray[np.float32]


@dataclass(frozen=True)
class Digits:
    """Rows [N, 64] float32 and labels [N]."""

    X: Pixels
    y: NDArray[np.int64]

    def part(self, begin: int, end: int) -> Digits:
        """Return the rows from ``begin`` to before ``end``."""
        return Digits(self.X[begin:end], self.y[begin:end])


def split(seed: int = 0) -> tuple[Digits, Digits, Digits]:
    """Return training rows, the historic holdout, and the rows before the cameras.

    ``seed`` draws which rows are which.
    """
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(X))
    X, y = X[order].astype(np.float32), y[order].astype(np.int64)
    first, second = TRAIN_ROWS, TRAIN_ROWS + HOLDOUT_ROWS
    return (
        Digits(X[:first], y[:first]),
        Digits(X[first:second], y[first:second]),
        Digits(X[second:], y[second:]),
    )


def changed_camera(X: Pixels, seed: int) -> Pixels:
    """Return the same digits through another camera, [N, 64] or [64].

    Contrast falls to 60%, black is lifted by 1.5, and sensor noise of standard deviation 0.7 is
    added; values are clipped to 0..16 as a sensor does. ``seed`` draws the noise.
    """
    noise = np.random.default_rng(seed).normal(0, NOISE, X.shape)
    changed = OFFSET + CONTRAST * X.astype(np.float64) + noise
    return np.clip(changed, 0, 16).astype(np.float32)


class Stream:
    """Pictures before one camera: held-out digits, some of them again and again.

    Half of the pictures recur: they come from :data:`RECURRING` pictures with Zipf weights, the
    same bytes each time and the same on all devices (signs, labels, forms). The others come from
    all held-out rows, each with a little noise of its own.
    """

    RECURRING: Final = 40

    def __init__(self, rows: Digits, device: int) -> None:
        self._rows = rows
        self._random = np.random.default_rng(1_000 + device)
        weights = 1 / np.arange(1, self.RECURRING + 1)
        self._weights = weights / weights.sum()

    def next(self, *, changed: bool) -> tuple[Pixels, int]:
        """Return the next picture [64] and its true digit."""
        if self._random.random() < 0.5:
            i = int(self._random.choice(self.RECURRING, p=self._weights))
            x = self._rows.X[i]
            seed = i  # the same noise each time, so that the bytes recur
        else:
            i = int(self._random.integers(len(self._rows.X)))
            seed = int(self._random.integers(1 << 31))
            x = self._rows.X[i] + np.float32(0.5) * self._random.standard_normal(64, np.float32)
            x = np.clip(x, 0, 16)
        return (changed_camera(x, seed) if changed else x), int(self._rows.y[i])


def catalogue(rows: Digits) -> dict[str, Any]:
    """Return the recurring pictures, which the hub gets as dataset ``catalogue``."""
    count = Stream.RECURRING
    return {"X": rows.X[:count], "y": rows.y[:count]}


def pilot(rows: Digits, pictures: int = 2_000) -> Pixels:
    """Return pictures [N, 64] of a pilot camera, from before the fleet: the reference for drift."""
    stream = Stream(rows, device=99)
    return np.stack([stream.next(changed=False)[0] for _ in range(pictures)])
