"""Labels of a simulated experiment as they come: what gates may count at each look.

Windows wait until they are settled, by the hub's own rule, and are then added to sums by device; so
memory is that of the windows that wait, six bytes a device and window.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.experiments.verdict.evidence import Settling
from cloud_hub.experiments.verdict.labelling import settling_seconds
from cloud_hub.statistics.label_coverage import AGES, HOUR, YOUNGEST, WindowLabels, early_age

if TYPE_CHECKING:
    from cloud_hub.experiments.verdict.spec import LabelRules
    from cloud_hub.simulate.drawing import DrawnWindow
    from cloud_hub.simulate.population import Places
    from cloud_hub.simulate.scenario import LateLabels
    from cloud_hub.statistics.samples import Floats

EDGES: Final = YOUNGEST * 2.0 ** np.arange(AGES - 1)
"""Seconds: ends of the bins of ages."""


@dataclass(frozen=True)
class _Waiting:
    """A window whose labels do not count yet; arrays [K]."""

    end: float
    index: Places
    answers: NDArray[np.unsignedinteger]
    right: NDArray[np.unsignedinteger]
    wrong: NDArray[np.unsignedinteger]


@dataclass(frozen=True)
class LabelSums:
    """Labels by device, arrays [N]: ``answers`` of settled windows, how many got a ``labelled``,
    ``correct`` ones, ``early`` ones; and of all windows so far.
    """

    answers: Floats
    labelled: Floats
    correct: Floats
    early: Floats
    all_answers: Floats
    all_labelled: Floats


@dataclass
class StepLabels:
    """Labels of the present step of an experiment.

    ``totals`` are (end, answers, right, wrong) of every window since the experiment began, over all
    devices; ``step`` of them were before the present step.
    """

    rules: LabelRules
    late: LateLabels
    devices: int
    totals: list[tuple[float, float, float, float]] = field(default_factory=list)
    step: int = 0
    waiting: list[_Waiting] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._settled = np.zeros((3, self.devices), dtype=np.float32)

    def begin_step(self) -> None:
        """Forget the labels of the step before; how late they came stays known."""
        self.step, self.waiting = len(self.totals), []
        self._settled[:] = 0

    def add(self, drawn: DrawnWindow, end: float) -> None:
        """Add a window of some devices of the step's seats, which ended at ``end`` (Unix s)."""
        answers = drawn.requests - drawn.errors
        kind = np.uint16 if answers.max(initial=0) < 1 << 16 else np.uint32
        right = drawn.labelled - drawn.wrong
        columns = [each.astype(kind) for each in (answers, right, drawn.wrong)]
        self.waiting.append(_Waiting(end, drawn.index, *columns))
        self.totals.append((end, *(float(each.sum(dtype=np.int64)) for each in columns)))

    def look(self, now: float, rng: np.random.Generator) -> tuple[LabelSums, Settling]:
        """Return what counts now.

        Args:
            now: Unix seconds.
            rng: decides which of a window's labels have come.
        """
        recorded, step = self._known(0, now), self._known(self.step, now)
        seconds = settling_seconds(self.rules, recorded, step, now)
        sums = self._settled if seconds else self._settled.copy()
        rest = []
        for window in self.waiting:
            if not seconds or _hour(window.end) + seconds <= now:
                _settle(sums, window, self.late.came(now - window.end), rng)
                if seconds:
                    continue
            rest.append(window)
        self.waiting = rest
        settled = step.only(step.ended + seconds <= now) if seconds else step
        early = early_age(settled, seconds)
        answers, labelled, correct = sums.astype(np.float64)
        soon = min(1.0, self.late.came(early) / max(self.late.came(seconds), 1e-12)) if early else 0
        drawn = rng.binomial(labelled.astype(np.int64), soon).astype(np.float64)
        everything = self._so_far(answers, labelled, now, counted=not seconds)
        waits = float(step.labelled.sum() - labelled.sum())
        return LabelSums(answers, labelled, correct, drawn, *everything), Settling(
            seconds, early, round(max(waits, 0.0))
        )

    def _so_far(
        self, answers: Floats, labelled: Floats, now: float, *, counted: bool
    ) -> tuple[Floats, Floats]:
        """Answers and labels of all windows; of those that wait, the expected number of labels."""
        every, known = answers.copy(), labelled.copy()
        for window in [] if counted else self.waiting:
            every[window.index] += window.answers
            share = self.late.came(now - window.end)
            known[window.index] += share * (window.right.astype(np.float64) + window.wrong)
        return every, known

    def _known(self, first: int, now: float) -> WindowLabels:
        """Labels of windows over all devices by age, as far as they have come."""
        rows = np.array(self.totals[first:], dtype=np.float64).reshape(-1, 4)
        end, answers, right, wrong = rows.T
        came = np.array([[self.late.came(float(edge)) for edge in EDGES]]).repeat(len(rows), 0)
        now_came = np.array([self.late.came(now - each) for each in end.tolist()])
        by_age = np.minimum(np.hstack([came, np.ones((len(rows), 1))]), now_came[:, None])
        shares = np.diff(by_age, axis=1, prepend=0.0)
        hours = np.array([_hour(each) for each in end.tolist()])
        labels = (right + wrong)[:, None] * shares
        return WindowLabels(hours, answers, labels, right * now_came)


def _hour(end: float) -> float:
    """The end of the hour in which a window ended, by which the hub tells windows apart."""
    return -(-end // HOUR) * HOUR


def _settle(
    sums: NDArray[np.float32], window: _Waiting, share: float, rng: np.random.Generator
) -> None:
    right, wrong = window.right, window.wrong
    if share < 1:
        right, wrong = rng.binomial(right, share), rng.binomial(wrong, share)
    sums[0, window.index] += window.answers
    sums[1, window.index] += right + wrong
    sums[2, window.index] += right
