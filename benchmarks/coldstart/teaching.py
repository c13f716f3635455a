"""A unit at a device: it is answered, says what was right, and is tested."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from edge_sdk import EdgeDevice
from examples.digits.data import Digits

COUNTS: Final = (0, 5, 10, 20, 50)
"""Labels after which a unit is tested."""


@dataclass(frozen=True)
class Session:
    """What a unit met.

    Attributes:
        accuracy: of the unit's answers to the test rows after each count of labels.
        fleet: of the release's own answers to the same.
        asked: share of answers during the teaching that were right, as served.
        asked_fleet: of the release's own to the same.
        personalised: share of the last test's answers that were corrected.
    """

    accuracy: tuple[float, ...]
    fleet: float
    asked: float
    asked_fleet: float
    personalised: float


def session(
    device: EdgeDevice,
    unit: str,
    teach: Digits,
    test: Digits,
    *,
    counts: Sequence[int] = COUNTS,
    told: Sequence[int] | None = None,
) -> Session:
    """Teach a unit row by row, and test it after each count of labels.

    Args:
        device: with a prior.
        unit: its name; one that is known goes on from what it learnt.
        teach: rows in the order in which they are asked.
        test: rows that are asked without any feedback.
        counts: labels after which it is tested, in order.
        told: labels that the unit gives, where they are not the truth.
    """
    given = teach.y if told is None else told
    accuracy, right, done = [], [], 0
    for count in counts:
        for i in range(done, min(count, len(teach.y))):
            p = device.predict(teach.X[i], unit=unit)
            right.append(p.label == teach.y[i])
            device.feedback(p.id, label=int(given[i]))
        done = count
        accuracy.append(share_right(device, unit, test))
    corrected = [device.predict(x, unit=unit).personalised for x in test.X]
    asked = teach.X[: len(right)]
    fleet = [p.label for p in map(device.predict, asked)] if len(right) else []
    return Session(
        accuracy=tuple(accuracy),
        fleet=share_right(device, None, test),
        asked=float(np.mean(right)) if right else 1.0,
        asked_fleet=float(np.mean(np.array(fleet) == teach.y[: len(right)])) if right else 1.0,
        personalised=float(np.mean(corrected)),
    )


def share_right(device: EdgeDevice, unit: str | None, rows: Digits) -> float:
    """Return the share of rows [N] that a device answers right, for a unit or for nobody."""
    labels = [device.predict(x, unit=unit).label for x in rows.X]
    return float(np.mean(np.array(labels) == rows.y))


def shuffled(rows: Digits, random: np.random.Generator) -> Digits:
    """Return rows in another order."""
    order = random.permutation(len(rows.y))
    return Digits(rows.X[order], rows.y[order])


def wrong_labels(
    rows: Digits, share: float, classes: int, random: np.random.Generator
) -> list[int]:
    """Return labels of which a share is another class, drawn evenly."""
    other = (rows.y + random.integers(1, classes, len(rows.y))) % classes
    return [int(y) for y in np.where(random.random(len(rows.y)) < share, other, rows.y)]


def mean_by_count(sessions: Sequence[Session]) -> tuple[float, ...]:
    """Return the mean accuracy after each count of labels."""
    return tuple(float(value) for value in np.mean([s.accuracy for s in sessions], axis=0))


def lasting(sessions: Sequence[Session]) -> Iterator[float]:
    """Yield by how much each unit's last accuracy is above the fleet's."""
    return (s.accuracy[-1] - s.fleet for s in sessions)
