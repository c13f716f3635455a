"""Predictions of earlier starts that still wait for a label, in the device's database.

Invariants:

* ``predict`` never writes here: predictions are copied at the end of a window and when the device
  is closed, the newest of each, at most :data:`KEPT` in all. What a power cut took since the last
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
from edge_sdk.contract.messages import Body, FeedbackReport
from edge_sdk.contract.window import SOURCES, Window
from edge_sdk.errors import InputError
from edge_sdk.telemetry.label_join import LabelOutcomes, Unlabelled, bits_of, join

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import Label
    from edge_sdk.serving.predictor import Predictor
    from edge_sdk.state_db import StateDatabase

KEPT: Final = 20_000
MOST: Final = 1_000
CAME: Final = 65_536
"""Labels that are remembered until the copies of their predictions are marked."""

_USED: Final = "feedback_used"


class Found(NamedTuple):
    """A prediction of an earlier start."""

    id: int
    window: Window
    left: Unlabelled


class KeptPredictions:
    """The table ``waiting``, and what labels of its predictions told since the last report.

    Args:
        store: of the device.
        most: predictions of each window that are copied, the newest; 0: none.
    """

    def __init__(self, store: StateDatabase, most: int = MOST) -> None:
        self._store = store
        self._most = most
        self._copied: dict[str, int] = {}
        self._came: deque[tuple[str, str, int]] = deque(maxlen=CAME)
        self._copied_at = time.monotonic()
        self._outcomes: dict[Window, LabelOutcomes] = {}
        self._lock = threading.Lock()
        self.used = bool(store.get(_USED))

    def mark_used(self) -> None:
        """This application gives labels: from now on windows are copied too."""
        if not self.used:
            self.used = True
            self._store.put(_USED, True)

    def came(self, tag: str, number: str, bits: int) -> None:
        """A label or reward (``bits``) came for a prediction of this process, perhaps copied."""
        self._came.append((tag, number, bits))

    def copy(self, servings: Iterable[Predictor], every: float, *, final: bool = False) -> None:
        """Copy what waits for labels, once in ``every`` seconds (with ``final``, now)."""
        passed = time.monotonic() - self._copied_at
        if not self._most or (not final and (not self.used or passed < every)):
            return
        self._copied_at = time.monotonic()
        came, self._came = self._came, deque(maxlen=CAME)
        self.settle(came)
        for serving in servings:
            after = self._copied.get(serving.tag, 0)
            for start, left in serving.monitor.left(after, self._most).items():
                self.keep(serving.tag, serving.window(start), left)
                self._copied[serving.tag] = max(self._copied.get(serving.tag, 0), left[-1].number)

    def keep(self, tag: str, window: Window, left: Iterable[Unlabelled]) -> None:
        """Copy predictions that the serving ``tag`` made in ``window``; the oldest of all go."""
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
            )
            for p in left
        ]
        with self._store.transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO waiting"
                " (tag, number, window, source, answer, own, state, groups)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            db.execute("DELETE FROM waiting WHERE id <= (SELECT max(id) FROM waiting) - ?", (KEPT,))

    def settle(self, came: Iterable[tuple[str, str, int]]) -> None:
        """Labels and rewards that came since in the process that predicted: (tag, number, bits)."""
        sql = "UPDATE waiting SET state = state | ? WHERE tag = ? AND number = ?"
        with self._store.transaction() as db:
            db.executemany(sql, [(bits, tag, number) for tag, number, bits in came])

    def feedback(
        self,
        tag: str,
        number: str,
        label: Label | float | None,
        reward: float | None,
        within: float | None = None,
    ) -> bool:
        """Join what came late; whether the prediction is one of these. Numbers are right ``within``
        so much.

        Raises:
            InputError: it came already, or the label is of another kind than what was answered.
        """
        with self._lock, self._store.transaction() as db:
            found = self._find(tag, number)
            if found is None:
                return False
            state = found.left.state | _given(found.left, number, label, reward)
            outcomes = self._outcomes.setdefault(found.window, LabelOutcomes())
            if label is not None:
                left = found.left
                source = SOURCES[left.source]
                join(outcomes, source, left.answer, left.own, label, left.groups, within)
            if reward is not None:
                outcomes.add_reward(float(reward))
            db.execute("UPDATE waiting SET state = ? WHERE id = ?", (state, found.id))
            return True

    def _find(self, tag: str, number: str) -> Found | None:
        if not number.isdecimal() or len(number) > 18:
            return None
        sql = (
            "SELECT id, window, number, source, answer, own, state, groups FROM waiting"
            " WHERE tag = ? AND number = ?"
        )
        for id_, window, at, source, answer, own, state, groups in self._store.query(
            sql, tag, int(number)
        ):
            named = tuple((column, group) for column, group in json.loads(groups))
            left = Unlabelled(at, source, json.loads(answer), json.loads(own), state, named)
            return Found(id_, from_plain(Window, json.loads(window)), left)
        return None

    def collect(self) -> list[Body]:
        """What labels told since the last call."""
        with self._lock:
            told, self._outcomes = self._outcomes, {}
        return [
            FeedbackReport(window, **vars(replace(outcomes, groups=_whole(outcomes))))
            for window, outcomes in told.items()
        ]


def _whole(outcomes: LabelOutcomes) -> dict[str, dict[str, tuple[int, int]]]:
    """Groups by columns that are known of every label; older software kept none."""
    return {
        column: groups
        for column, groups in outcomes.groups.items()
        if sum(labelled for labelled, _ in groups.values()) == outcomes.own_labelled
    }


def _given(left: Unlabelled, number: str, label: Label | float | None, reward: float | None) -> int:
    """What comes now, as bits of the state; raises :class:`InputError` where it cannot be."""
    bits = bits_of(label, reward)
    if bits & left.state:
        raise InputError("label", f"prediction {number}: has its label or reward already")
    if label is not None and isinstance(label, str) != isinstance(left.answer, str):
        raise InputError("label", f"expected one like {left.answer!r:.60}, got {label!r:.60}")
    return bits
