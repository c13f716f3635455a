"""Handwriting of different people, made of scikit-learn's digits: each writer has a slant, a turn,
a width, a stroke and a place on the form, all drawn once and from then on the same.

The bundled digits do not say who wrote them, so these writers are drawn. What is measured with them
shows that a method works, not how much real handwriting differs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from examples.digits.data import Digits, Pixels

SIDE: Final = 8
MIDDLE: Final = (SIDE - 1) / 2


@dataclass(frozen=True)
class Writer:
    """How somebody writes.

    Attributes:
        slant: columns by which the top of a digit leans to the right for each row; 0.4 is italic.
        turn: radians.
        width: of a digit by its usual width.
        stroke: exponent of a pixel's darkness; below 1 is a broad pen, above a fine one.
        place: rows and columns by which digits are off the middle of their box.
    """

    slant: float = 0.0
    turn: float = 0.0
    width: float = 1.0
    stroke: float = 1.0
    place: tuple[float, float] = (0.0, 0.0)

    def write(self, X: Pixels) -> Pixels:
        """Return pictures [N, 64] of digits as this person writes them, from printed ones."""
        cos, sin = np.cos(self.turn), np.sin(self.turn)
        turned = np.array([[cos, -sin], [sin, cos]])
        shape = turned @ np.array([[1.0, 0.0], [self.slant, 1 / self.width]])
        offset = MIDDLE - shape @ (MIDDLE + np.array(self.place))
        written = [
            affine_transform(x.astype(np.float64).reshape(SIDE, SIDE), shape, offset, order=1)
            for x in X
        ]
        dark = np.clip(np.array(written).reshape(-1, SIDE * SIDE) / 16, 0, 1)
        return (16 * dark**self.stroke).astype(np.float32)


UNUSUAL: Final = Writer(slant=0.45, turn=0.1, stroke=0.6, place=(0.0, 0.3))
"""Somebody who leans to the right, with a broad pen."""


def drawn_writer(random: np.random.Generator) -> Writer:
    """Draw a writer from a population of which most write nearly upright."""
    return Writer(
        slant=float(random.normal(0, 0.25)),
        turn=float(random.normal(0, 0.1)),
        width=float(np.exp(random.normal(0, 0.12))),
        stroke=float(np.exp(random.normal(0, 0.35))),
        place=(float(random.normal(0, 0.2)), float(random.normal(0, 0.3))),
    )


def written(digits: Digits, writers: int, rows: int, seed: int) -> tuple[Digits, NDArray[np.int64]]:
    """Have digits written by drawn writers.

    Args:
        digits: as they are in the form.
        writers: how many people.
        rows: digits of each.
        seed: of the writers, who are the same for the same seed, and of who writes what.

    Returns:
        Pictures and labels [writers * rows], and the number of each one's writer.
    """
    random = np.random.default_rng(seed)
    people = [drawn_writer(random) for _ in range(writers)]
    pictures, labels = [], []
    for one in people:
        chosen = random.choice(len(digits.y), rows, replace=rows > len(digits.y))
        pictures.append(one.write(digits.X[chosen]))
        labels.append(digits.y[chosen])
    return (
        Digits(np.concatenate(pictures), np.concatenate(labels)),
        np.repeat(np.arange(writers), rows),
    )
