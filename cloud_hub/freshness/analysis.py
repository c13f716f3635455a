"""Train on every window of the plan, score, and compare schedules on the same rows."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.data.dataset import Dataset
from cloud_hub.errors import HubFault, Invalid
from cloud_hub.freshness.plan import NEVER, PlannedTraining, RowWindow, TrainingPlan, plan
from cloud_hub.freshness.verdict import FreshnessVerdict, Gain, conclude, format_window
from cloud_hub.runs.context import LabelledRows, Trained, TrainingContext
from cloud_hub.statistics.detectors.blocks import Estimate, block_mean
from cloud_hub.text.durations import compact_duration

Train = Callable[[TrainingContext], Any]
TIMES: Final = "t"
"""Column of the times where no other is said."""

FEWEST_ROWS: Final = 20
"""Rows that a training window must have."""

RECENT_BLOCKS: Final = 12
"""Into how many parts the recent stretch is cut for the intervals of the curve of ages."""


WRONG: Final = "share of wrong answers"


@dataclass(frozen=True)
class JudgedLosses:
    """Losses of rows [N], and what they measure; empty where there was no row."""

    losses: NDArray[np.float64]
    measure: str


Known = Mapping[PlannedTraining, JudgedLosses]
"""Losses of trainings that were done elsewhere."""


@dataclass(frozen=True)
class LabelledHistory:
    """Labelled rows in order of time: ``X`` [N, features], ``y`` [N], ``times`` [N] (Unix s).

    ``X`` is an array or a DataFrame.
    """

    X: Any
    y: NDArray[Any]
    times: NDArray[np.float64]

    def __post_init__(self) -> None:
        if not len(self.X) == len(self.y) == len(self.times):
            raise Invalid("rows: expected X, y and t of equal length")

    @classmethod
    def sorted(cls, X: Any, y: Any, times: Any) -> LabelledHistory:
        """Return the rows in order of time.

        Args:
            X: [N, features].
            y: [N].
            times: [N], Unix seconds, in any order.

        Raises:
            Invalid: unequal lengths, or a time that is none.
        """
        stamps = np.asarray(times, dtype=np.float64)
        if stamps.ndim != 1 or not np.isfinite(stamps).all():
            raise Invalid("t: expected one time a row, Unix seconds")
        order = np.argsort(stamps, kind="stable")
        if len(X) != len(order) or len(y) != len(order):
            raise Invalid("rows: expected X, y and t of equal length")
        return cls(_picked(X, order), np.asarray(y)[order], stamps[order])

    @classmethod
    def of(cls, data: Dataset, name: str) -> LabelledHistory:
        """Return the rows of a dataset in order of time.

        Args:
            data: rows with labels and times.
            name: of the data, for messages.

        Raises:
            Invalid: no labels or no times.
        """
        if data.time is None and TIMES in data.names:
            data = replace(data, time=TIMES)
        labels, times = data.labels, data.times
        if labels is None or times is None:
            raise Invalid(
                f"{name}: expected rows with labels and times: an .npz with X, y and t, or columns "
                "y and t"
            )
        return cls.sorted(data.X, labels, times)

    def rows(self, window: RowWindow) -> LabelledRows:
        """Rows of a window."""
        inside = window.of(self.times)
        return LabelledRows(_picked(self.X, inside), self.y[inside])


def _picked(X: Any, rows: Any) -> Any:
    """Return rows of an array or a DataFrame."""
    return X.iloc[rows] if hasattr(X, "iloc") else np.asarray(X)[rows]


@dataclass(frozen=True)
class FreshnessQuestion:
    """Schedules that are compared, and by what.

    ``every`` and ``delay`` (until a label is there) in seconds; ``worthwhile`` is the smallest gain
    that would pay for a training; ``alpha`` the chance of a wrong interval over all comparisons.
    """

    every: Sequence[float]
    delay: float = 0.0
    worthwhile: float = 0.005
    alpha: float = 0.05
    seed: int = 0


@dataclass(frozen=True)
class Freshness:
    """Result of the analysis. Losses are wrong answers (or absolute errors); lower is better."""

    measure: str
    rows: int
    stretch: tuple[float, float]
    trainings: int
    schedules: dict[str, Estimate]
    gains: tuple[Gain, ...]
    ages: tuple[tuple[float, Estimate], ...]
    iteration: tuple[Gain, ...] = ()
    verdict: FreshnessVerdict = field(default_factory=lambda: FreshnessVerdict("undecided", "", ""))

    def as_json(self) -> dict[str, object]:
        """Return the analysis as JSON; an end of an interval that is nowhere is ``null``."""
        plain: dict[str, object] = _finite(asdict(self))
        return plain


def freshness(
    train: Train,
    history: LabelledHistory,
    question: FreshnessQuestion,
    *,
    alternative: Train | None = None,
    known: tuple[Known, Known] = ({}, {}),
    progress: Callable[[str], None] = lambda line: None,
) -> Freshness:
    """Measure what retraining more often would have been worth.

    Args:
        train: the model's own training; it is called stateless on each window.
        history: labelled rows.
        question: the schedules to compare, and by what.
        alternative: another way to train: iterating on the model instead of on the data.
        known: losses of trainings that were done elsewhere, by ``train`` and by ``alternative``.
        progress: called with a line for each training.

    Raises:
        Invalid: too little history.
        HubFault: a training failed; says on which window.
    """
    planned = plan(history.times, question.every, delay=question.delay)
    scorer = WindowScorer(train, history, planned, question.seed, progress, known[0])
    losses = {name: scorer.losses(trainings) for name, trainings in planned.schedules.items()}
    ordered = sorted(losses, reverse=True)
    pairs = list(combinations(ordered, 2))
    # Bonferroni over all pairs: the verdict walks through several of them.
    level = question.alpha / len(pairs)
    gains = tuple(
        Gain(label(rare), label(often), scorer.estimate(losses[rare] - losses[often], level))
        for rare, often in pairs
    )
    ages = tuple((age, scorer.aged(training, question.alpha)) for age, training in planned.ages)
    iteration: tuple[Gain, ...] = ()
    if alternative is not None:
        other = WindowScorer(alternative, history, planned, question.seed, progress, known[1])
        iteration = _iteration(scorer, other, planned, losses, ordered[-1], question.alpha)
    return Freshness(
        measure=scorer.measure,
        rows=len(losses[NEVER]),
        stretch=(planned.stretch.begin, planned.stretch.end),
        trainings=scorer.trained,
        schedules={label(s): scorer.estimate(losses[s], question.alpha) for s in ordered},
        gains=gains,
        ages=ages,
        iteration=iteration,
        verdict=conclude(gains, question.worthwhile),
    )


def label(seconds: float) -> str:
    """The name of a schedule."""
    return "never" if seconds == NEVER else f"every {compact_duration(seconds)}"


def _iteration(
    scorer: WindowScorer,
    other: WindowScorer,
    planned: TrainingPlan,
    losses: Mapping[float, NDArray[np.float64]],
    often: float,
    alpha: float,
) -> tuple[Gain, ...]:
    """Gains by newer data, by another training, and by both; last the first against the second."""
    old, fresh = losses[NEVER], losses[often]
    model = other.losses(planned.schedules[NEVER])
    both = other.losses(planned.schedules[often])
    # Four comparisons, Bonferroni.
    level = alpha / 4
    return (
        Gain("as it is", "newer data", scorer.estimate(old - fresh, level)),
        Gain("as it is", "other model", scorer.estimate(old - model, level)),
        Gain("as it is", "both", scorer.estimate(old - both, level)),
        Gain("other model", "newer data", scorer.estimate(model - fresh, level)),
    )


class WindowScorer:
    """Trains each window once, and scores rows of the stretch.

    Args:
        train: a model's training.
        history: labelled rows.
        planned: the windows.
        seed: of every training.
        progress: called with a line for each training.
        known: losses of trainings that were done elsewhere.
    """

    def __init__(
        self,
        train: Train,
        history: LabelledHistory,
        planned: TrainingPlan,
        seed: int,
        progress: Callable[[str], None],
        known: Known = {},  # noqa: B006 (nobody writes to it)
    ) -> None:
        self._known = known
        self._train = train
        self._history = history
        self._plan = planned
        self._seed = seed
        self._progress = progress
        self._models: dict[RowWindow, Any] = {}
        inside = planned.stretch.of(history.times)
        self._blocks = _block_of(history.times[inside], planned.stretch.begin, planned.block)
        self.measure = WRONG

    @property
    def trained(self) -> int:
        """Number of models trained."""
        return len(self._models) or len({training.on for training in self._known})

    def losses(self, trainings: Sequence[PlannedTraining]) -> NDArray[np.float64]:
        """Loss of each row of the stretch, by the model that served then, [rows]."""
        return np.concatenate([self._loss(training) for training in trainings])

    def estimate(self, values: NDArray[np.float64], alpha: float) -> Estimate:
        """Mean over the stretch with its interval."""
        return block_mean(values, self._blocks, alpha)

    def aged(self, training: PlannedTraining, alpha: float) -> Estimate:
        """Mean loss on the recent stretch, which is too short for blocks of the usual length."""
        recent = training.judged
        times = self._history.times[recent.of(self._history.times)]
        block = min(self._plan.block, (recent.end - recent.begin) / RECENT_BLOCKS)
        return block_mean(self._loss(training), _block_of(times, recent.begin, block), alpha)

    def _loss(self, training: PlannedTraining) -> NDArray[np.float64]:
        judged = self._known.get(training) or self.judge(training)
        self.measure = judged.measure or self.measure
        return judged.losses

    def judge(self, training: PlannedTraining) -> JudgedLosses:
        """Train, unless the window is trained on already, and answer the rows that it judges.

        Raises:
            Invalid: too few rows.
            HubFault: the training failed.
        """
        judged = self._history.rows(training.judged)
        if not len(judged):
            return JudgedLosses(np.empty(0), "")
        model = self._model(training.on)
        answers = np.asarray(model.predict(judged.X)).ravel()
        # As texts: labels that were stored may be texts where the model learned numbers.
        if hasattr(model, "classes_"):
            wrong: NDArray[np.bool_] = answers.astype(str) != judged.y.astype(str)
            return JudgedLosses(wrong.astype(np.float64), WRONG)
        errors: NDArray[np.float64] = np.abs(answers.astype(np.float64) - judged.y)
        return JudgedLosses(errors, "mean absolute error")

    def _model(self, window: RowWindow) -> Any:
        if window not in self._models:
            rows = self._history.rows(window)
            where = format_window(window.begin, window.end)
            if len(rows) < FEWEST_ROWS:
                raise Invalid(f"rows: expected {FEWEST_ROWS} {where}, got {len(rows)}")
            self._progress(f"training on {len(rows)} rows {where}")
            self._models[window] = self._trained(rows, window, where)
        return self._models[window]

    def _trained(self, rows: LabelledRows, window: RowWindow, where: str) -> Any:
        context = TrainingContext(
            model="freshness", run=0, mode="stateless", mode_reason="freshness analysis",
            parent="0.0", window=(window.begin, window.end), fresh=rows, history=None, state=None,
            seed=self._seed,
        )  # fmt: skip
        # Anew for each: of trainings side by side none is before another.
        random.seed(self._seed)
        np.random.seed(self._seed % (1 << 32))
        try:
            returned = self._train(context)
        except Exception as error:
            raise HubFault(f"train failed {where}: {type(error).__name__}: {error}") from error
        model = returned.model if isinstance(returned, Trained) else returned
        if not hasattr(model, "predict"):
            raise HubFault(f"train: expected a fitted estimator, got {type(model).__name__}")
        return model


def _block_of(times: NDArray[np.float64], begin: float, block: float) -> NDArray[np.int64]:
    index: NDArray[np.int64] = np.floor((times - begin) / block).astype(np.int64)
    return index


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
