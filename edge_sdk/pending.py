"""Predictions that wait for a late label: a bounded table, and what their labels told.

A prediction is found for as long as fewer than ``capacity`` newer ones were made; a row of a batch
for as long as fewer than :data:`BATCHES` newer batches were.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, Final

from edge_sdk.contract.manifest import Label
from edge_sdk.errors import InputError
from edge_sdk.prediction import BatchPrediction, Prediction

BATCHES: Final = 64


@dataclass
class Waiting:
    """One prediction: the start of its window, the answer, and its row if it may be shared."""

    window: int
    taken: int
    prediction: Prediction
    row: tuple[Any, ...] | None
    labelled: bool = False
    rewarded: bool = False


@dataclass(frozen=True)
class WaitingBatch:
    """A batch of predictions; its rows are not kept, so they are never shared."""

    window: int
    taken: int
    predictions: BatchPrediction


@dataclass
class Outcomes:
    """Sufficient statistics of the labels and rewards that came for one window."""

    labelled: int = 0
    correct: int = 0
    own_labelled: int = 0
    own_correct: int = 0
    by_source: dict[str, tuple[int, int]] = field(default_factory=dict)
    rewards: int = 0
    reward_sum: float = 0.0
    reward_squares: float = 0.0

    def add_label(self, predicted: Prediction, label: Label | float) -> None:
        """Count one label."""
        correct, source = predicted.label == label, predicted.source
        self.labelled += 1
        self.correct += correct
        if predicted._own is not None:
            self.own_labelled += 1
            self.own_correct += predicted._own == label
        labelled, right = self.by_source.get(source, (0, 0))
        self.by_source[source] = (labelled + 1, right + correct)

    def add_reward(self, reward: float) -> None:
        """Count one numeric outcome."""
        self.rewards += 1
        self.reward_sum += reward
        self.reward_squares += reward * reward


class Pending:
    """The table. Not thread-safe: its monitor calls it under a lock."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._waiting: dict[str, Waiting] = {}
        self._batches: dict[str, WaitingBatch] = {}
        self.outcomes: defaultdict[int, Outcomes] = defaultdict(Outcomes)
        self.unmatched = 0

    def add(self, number: str, waiting: Waiting) -> None:
        """Remember prediction ``number``; beyond the capacity the oldest is forgotten."""
        self._waiting[number] = waiting
        if len(self._waiting) > self._capacity:
            self._waiting.pop(next(iter(self._waiting)))

    def add_batch(self, number: str, waiting: WaitingBatch) -> None:
        """Remember a batch; beyond :data:`BATCHES` the oldest is forgotten."""
        self._batches[number] = waiting
        if len(self._batches) > BATCHES:
            self._batches.pop(next(iter(self._batches)))

    def find(self, number: str) -> Waiting:
        """The prediction ``number`` (``"17"``, or ``"17.4"`` for row 4 of batch 17).

        Raises:
            InputError: it is unknown or was forgotten; counted as unmatched.
        """
        waiting = self._waiting.get(number) or self._in_batch(number)
        if waiting is None:
            self.unmatched += 1
            raise InputError(
                "unknown_prediction",
                f"prediction {number}: expected one of the last {self._capacity} of this process",
            )
        return waiting

    def _in_batch(self, number: str) -> Waiting | None:
        name, _, index = number.partition(".")
        batch = self._batches.get(name)
        if batch is None or not index.isdecimal() or int(index) >= len(batch.predictions):
            return None
        waiting = Waiting(batch.window, batch.taken, batch.predictions[int(index)], None)
        self.add(number, waiting)
        return waiting

    def label(self, waiting: Waiting, label: Label | float) -> None:
        """Join a label with its prediction.

        Raises:
            InputError: it has one already.
        """
        if waiting.labelled:
            raise InputError("label", f"prediction {waiting.prediction.id}: has its label already")
        waiting.labelled = True
        outcomes = self.outcomes[waiting.window]
        predicted = waiting.prediction
        if predicted.label is not None:
            outcomes.add_label(predicted, label)
        elif isinstance(predicted.value, float) and not isinstance(label, str):
            outcomes.add_reward((predicted.value - label) ** 2)

    def reward(self, waiting: Waiting, reward: float) -> None:
        """Join a numeric outcome with its prediction.

        Raises:
            InputError: it has one already.
        """
        if waiting.rewarded:
            raise InputError("label", f"prediction {waiting.prediction.id}: has its reward already")
        waiting.rewarded = True
        self.outcomes[waiting.window].add_reward(reward)

    def take_outcomes(self) -> tuple[dict[int, Outcomes], int]:
        """Outcomes by window start and the count of unmatched labels since the last call."""
        taken, unmatched = dict(self.outcomes), self.unmatched
        self.outcomes.clear()
        self.unmatched = 0
        return taken, unmatched
