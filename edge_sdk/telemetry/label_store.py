"""Predictions of earlier starts that still wait for a label, in the device's database.

Invariants:

* ``predict`` never writes here: predictions are copied at the end of a window and when the device
  is closed, the newest of each, at most :data:`STORED` in all. What a power cut took since the last
  copy is gone, and its labels are counted as unmatched.
* No input is kept: what was answered, by which source, and the window and the declared groups
  that a label counts for.
* A device whose application never gives labels writes when it is closed, and otherwise nothing.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from edge_sdk.contract.codec import encode, from_plain
from edge_sdk.contract.key_buckets import BUCKETS
from edge_sdk.contract.messages import Body, FeedbackReport
from edge_sdk.contract.window import SOURCES, Window
from edge_sdk.errors import ContractError, InputError
from edge_sdk.telemetry.key_counts import NO_BUCKET
from edge_sdk.telemetry.label_join import ErrorRules, LabelOutcomes, Unlabelled, bits_of, join

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import Label
    from edge_sdk.serving.predictor import Predictor
    from edge_sdk.state_db import StateDatabase

STORED: Final = 20_000
MOST: Final = 1_000
LABELS: Final = 65_536
"""Labels that are remembered until the copies of their predictions are marked."""

_USED: Final = "feedback_used"


class StoredPrediction(NamedTuple):
    """A prediction of an earlier start."""

    id: int
    window: Window
    prediction: Unlabelled


class LabelStore:
    """The table ``waiting``, and the outcomes of labels since the last report.

    Args:
        store: of the device.
        most: predictions of each window that are copied, the newest; 0: none.
    """

    def __init__(self, store: StateDatabase, most: int = MOST) -> None:
        self._store = store
        self._most = most
        self._copied: dict[str, int] = {}
        self._arrived: deque[tuple[str, str, int]] = deque(maxlen=LABELS)
        self._copied_at = time.monotonic()
        self._outcomes: dict[Window, LabelOutcomes] = {}
        self._lock = threading.Lock()
        self.used = bool(store.get(_USED))

    def mark_used(self) -> None:
        """This application gives labels: from now on windows are copied too."""
        if not self.used:
            self.used = True
            self._store.put(_USED, True)

    def note_label(self, tag: str, number: str, bits: int) -> None:
        """Note that a label or reward came for a prediction of this process, perhaps copied.

        Args:
            tag: of the predictor that answered.
            number: of the prediction.
            bits: from :func:`bits_of`.
        """
        self._arrived.append((tag, number, bits))

    def copy(self, servings: Iterable[Predictor], every: float, *, final: bool = False) -> None:
        """Copy what waits for labels.

        Args:
            servings: predictors whose predictions are copied.
            every: seconds between two copies.
            final: copy now.
        """
        passed = time.monotonic() - self._copied_at
        if not self._most or (not final and (not self.used or passed < every)):
            return
        self._copied_at = time.monotonic()
        arrived, self._arrived = self._arrived, deque(maxlen=LABELS)
        self.settle(arrived)
        for serving in servings:
            after = self._copied.get(serving.tag, 0)
            for start, waiting in serving.monitor.unlabelled(after, self._most).items():
                self.keep(serving.tag, serving.window(start), waiting)
                newest = waiting[-1].number
                self._copied[serving.tag] = max(self._copied.get(serving.tag, 0), newest)

    def keep(self, tag: str, window: Window, waiting: Iterable[Unlabelled]) -> None:
        """Copy predictions; beyond :data:`STORED` the oldest of all go.

        Args:
            tag: of the predictor that made them.
            window: in which they were made.
            waiting: predictions without a label.
        """
        name = encode(window).decode()
        rows = [
            (
                tag,
                p.number,
                name,
                p.source,
                *map(json.dumps, (p.answer, p.own)),
                p.state,
                json.dumps(p.groups),
                p.bucket,
            )
            for p in waiting
        ]
        with self._store.transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO waiting"
                " (tag, number, window, source, answer, own, state, groups, bucket)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            db.execute(
                "DELETE FROM waiting WHERE id <= (SELECT max(id) FROM waiting) - ?", (STORED,)
            )

    def settle(self, arrived: Iterable[tuple[str, str, int]]) -> None:
        """Note labels and rewards that came in the process that predicted: (tag, number, bits)."""
        sql = "UPDATE waiting SET state = state | ? WHERE tag = ? AND number = ?"
        with self._store.transaction() as db:
            db.executemany(sql, [(bits, tag, number) for tag, number, bits in arrived])

    def feedback(
        self,
        tag: str,
        number: str,
        label: Label | float | None,
        reward: float | None,
        rules: ErrorRules = ErrorRules(),
    ) -> bool:
        """Join a late label or reward; return whether the prediction is one of these.

        Args:
            tag: of the predictor that answered.
            number: of the prediction.
            label: the right answer, if one came.
            reward: a numeric outcome, if one came.
            rules: when a regressor's number is right, and how much an error counts at most.

        Raises:
            InputError: it came already, or the label is of another kind than what was answered.
        """
        with self._lock, self._store.transaction() as db:
            stored = self._find(tag, number)
            if stored is None:
                return False
            p = stored.prediction
            state = p.state | _new_bits(p, number, label, reward)
            outcomes = self._outcomes.setdefault(stored.window, LabelOutcomes())
            if label is not None:
                source, answers = SOURCES[p.source], (p.answer, p.own)
                join(outcomes, source, *answers, label, p.groups, rules, p.bucket)
            if reward is not None:
                outcomes.add_reward(float(reward), p.bucket)
            db.execute("UPDATE waiting SET state = ? WHERE id = ?", (state, stored.id))
            return True

    def _find(self, tag: str, number: str) -> StoredPrediction | None:
        # SQLite's integers end at 19 digits.
        if not number.isdecimal() or len(number) > 18:
            return None
        sql = (
            "SELECT id, window, number, source, answer, own, state, groups, bucket FROM waiting"
            " WHERE tag = ? AND number = ?"
        )
        for id_, window, at, source, answer, own, state, groups, bucket in self._store.query(
            sql, tag, int(number)
        ):
            try:
                named = tuple((column, group) for column, group in json.loads(groups))
                answers = (json.loads(answer), json.loads(own))
                waiting = Unlabelled(at, source, *answers, state, named, _known(bucket))
                return StoredPrediction(id_, from_plain(Window, json.loads(window)), waiting)
            except (ValueError, TypeError, ContractError):
                return None  # damaged on the disk: its label counts as one of no known prediction
        return None

    def collect(self) -> list[Body]:
        """Return the outcomes of labels since the last call."""
        with self._lock:
            outcomes_of, self._outcomes = self._outcomes, {}
        return [
            FeedbackReport(window, **replace(outcomes, groups=_whole(outcomes)).columns())
            for window, outcomes in outcomes_of.items()
        ]


def model_of(store: StateDatabase, prediction: str) -> str | None:
    """Return the model that made a prediction of an earlier start, as far as it is stored."""
    tag, _, number = prediction.rpartition("-")
    stored = LabelStore(store)._find(tag, number)
    return None if stored is None else stored.window.model


def _known(bucket: int) -> int:
    """The bucket, or that of no key where the disk has damaged it."""
    return bucket if bucket in range(BUCKETS) else NO_BUCKET


def _whole(outcomes: LabelOutcomes) -> dict[str, dict[str, tuple[int, int]]]:
    """Groups by columns that every label has; older software stored none."""
    return {
        column: groups
        for column, groups in outcomes.groups.items()
        if sum(labelled for labelled, _ in groups.values()) == outcomes.own_labelled
    }


def _new_bits(p: Unlabelled, number: str, label: Label | float | None, reward: float | None) -> int:
    """The label or reward as bits of the state; raises :class:`InputError` where it cannot be."""
    bits = bits_of(label, reward)
    if bits & p.state:
        raise InputError("label", f"prediction {number}: has its label or reward already")
    if label is not None and isinstance(label, str) != isinstance(p.answer, str):
        raise InputError("label", f"expected one like {p.answer!r:.60}, got {label!r:.60}")
    return bits
