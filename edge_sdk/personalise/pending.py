"""Predictions for units that wait for a label: bounded, and written without a lock.

A prediction is found until so many newer ones were made. It holds the unit, φ and the release's
own answer, which is what a label teaches; a row of a batch counts like a single one.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_sdk.personalise.units.unit_space import HeldUnit
from edge_sdk.validation import is_number

BYTES: Final = 2 << 20
LEAST, MOST = 64, 4_096
"""Predictions that wait at least, however large φ is, and at most."""

_OBJECTS: Final = 300
"""Bytes of a prediction beside its numbers."""


class Waiting(NamedTuple):
    """What a label of one prediction teaches.

    Attributes:
        unit: for whom it was made.
        phi: φ [d].
        base: the release's own probabilities [C], or its number.
        personalised: a correction was served.
    """

    unit: HeldUnit
    phi: NDArray[np.float32]
    base: Any
    personalised: bool


class WaitingBatch(NamedTuple):
    """The same of N rows of a batch: φ [N, d], probabilities [N, C] or numbers [N]."""

    unit: HeldUnit
    phi: NDArray[np.float32]
    base: NDArray[Any]
    personalised: NDArray[np.bool_]


class Pending:
    """Predictions that wait.

    Attributes:
        slots: of single ones, by number modulo their count: (number, unit, bytes of φ, answer,
            personalised) or ``None``. The fast path writes them itself.

    Args:
        size: d.
        classes: C; 0 for a regressor.
    """

    def __init__(self, size: int, classes: int) -> None:
        room = BYTES // (4 * size + 24 * max(classes, 1) + _OBJECTS)
        count = max(LEAST, min(MOST, room))
        self.slots: list[tuple[int, HeldUnit, bytes, Any, bool] | None] = [None] * count
        self._batches: OrderedDict[int, WaitingBatch] = OrderedDict()
        self._keeping = threading.Lock()

    def put(self, number: int, waiting: Waiting) -> None:
        """Remember a single prediction."""
        unit, phi, base, personalised = waiting
        at = number % len(self.slots)
        self.slots[at] = (number, unit, phi.tobytes(), base, personalised)
        if unit.gone:  # forgotten while it was answered
            self.slots[at] = None

    def put_batch(self, number: int, batch: WaitingBatch) -> None:
        """Remember a batch; the oldest go, and one that is too large is not remembered."""
        if len(batch.phi) > len(self.slots):
            return
        with self._keeping:
            self._batches[number] = batch
            while sum(len(each.phi) for each in self._batches.values()) > len(self.slots):
                self._batches.popitem(last=False)
            if batch.unit.gone:  # forgotten while it was answered
                self._batches.pop(number, None)

    def take(self, number: str) -> Waiting | None:
        """Return a prediction, or a row of a batch (``"17.4"``); ``None`` if it is not known."""
        name, dot, index = number.partition(".")
        if not is_number(name):
            return None
        if not dot:
            at = int(name) % len(self.slots)
            found = self.slots[at]
            if found is None or found[0] != int(name):
                return None
            self.slots[at] = None
            _, unit, raw, base, personalised = found
            return Waiting(unit, np.frombuffer(raw, np.float32), base, personalised)
        batch = self._batches.get(int(name))
        if batch is None or not is_number(index) or int(index) >= len(batch.phi):
            return None
        row = int(index)
        base = batch.base[row].tolist()
        return Waiting(batch.unit, batch.phi[row], base, bool(batch.personalised[row]))

    def counts(self) -> tuple[int, int]:
        """Return how many single predictions wait, and how many of them were served corrected."""
        waiting = [each for each in tuple(self.slots) if each is not None]
        return len(waiting), sum(each[4] for each in waiting)

    def forget(self, key: bytes) -> bool:
        """Drop what waits for a unit; return whether anything did.

        What is answered meanwhile goes where the unit is ``gone``, so the store forgets it first.
        """
        found = False
        for at, each in enumerate(self.slots):
            if each is not None and each[1].key == key:
                self.slots[at], found = None, True
        with self._keeping:
            of_unit = [n for n, batch in self._batches.items() if batch.unit.key == key]
            for number in of_unit:
                del self._batches[number]
        return found or bool(of_unit)
