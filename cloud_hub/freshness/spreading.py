"""Trainings of the analysis side by side: the history travels once, windows by number, losses back.

The plan is made on both sides, since it is a pure function of history and question, and models stay
where they were trained. Random numbers begin anew with each training, so that nothing depends on
how windows are shared out.
"""

from __future__ import annotations

import atexit
import functools
import io
import json
import pickle
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from cloud_hub.engine.engine import Engine, IsolatedLimits, SpreadTask
from cloud_hub.errors import HubFault, Invalid
from cloud_hub.freshness.analysis import (
    FreshnessQuestion,
    JudgedLosses,
    LabelledHistory,
    Train,
    WindowScorer,
)
from cloud_hub.freshness.plan import PlannedTraining, RowWindow, TrainingPlan, plan
from cloud_hub.runs.code.tree import FOLDER, read_code, unpack
from cloud_hub.runs.entry_point import function_of

TASKS: Final = 32
"""Into how many tasks the trainings are cut: many, so that all nodes end at about the same time."""

SECONDS: Final = 6 * 3600.0
MEMORY_MB: Final = 8_192


@dataclass(frozen=True)
class SpreadTrainings:
    """What a task is told: the training, the history, the question.

    Attributes:
        entry: ``module:function``.
        path: folder of the module, where the task runs on this machine.
        code: the files of that folder as a ZIP, where it does not.
        history: labelled rows.
        question: that the plan is made of.
    """

    entry: str
    path: str | None
    code: bytes | None
    history: LabelledHistory
    question: FreshnessQuestion


def spread_losses(
    engine: Engine,
    entry: str,
    path: str | None,
    history: LabelledHistory,
    question: FreshnessQuestion,
    progress: Callable[[str], None] = lambda line: None,
) -> dict[PlannedTraining, JudgedLosses]:
    """Train on every window of the plan, several at once.

    Args:
        engine: that computes.
        entry: training function, ``module:function``.
        path: folder of its module.
        history: labelled rows.
        question: that the plan is made of.
        progress: called with a line for each task that is done.

    Returns:
        Losses of every planned training.

    Raises:
        Invalid: too little history.
        EngineUnavailable: the engine cannot be reached.
        HubFault: a training failed; says on which window.
    """
    code = None
    if engine.elsewhere and path is not None:
        code = read_code(Path(path).absolute(), entry, None).to_zip()
    told = SpreadTrainings(entry, None if engine.elsewhere else path, code, history, question)
    planned = plan(history.times, question.every, delay=question.delay)
    windows = ordered_windows(planned)
    # Dealt out like cards: the last windows are no larger than the first, but who knows.
    shares = [list(range(i, len(windows), TASKS)) for i in range(min(TASKS, len(windows)))]
    task = SpreadTask(
        f"{__name__}:train_windows", pickle.dumps(told), IsolatedLimits(SECONDS, MEMORY_MB)
    )
    found: dict[PlannedTraining, JudgedLosses] = {}
    done = 0
    for share, raw in zip(
        shares, engine.spread(task, (json.dumps(s).encode() for s in shares)), strict=True
    ):
        done += len(share)
        progress(f"{done} of {len(windows)} windows trained on")
        found.update(_losses_from(raw, planned, [windows[i] for i in share]))
    return found


def train_windows(common: bytes, item: bytes) -> bytes:
    """Train on some windows.

    Args:
        common: pickled :class:`SpreadTrainings`, of the hub's own making.
        item: numbers of windows, as JSON.

    Returns:
        An ``.npz``: the losses of each training that is judged, and what they measure.
    """
    told, train = _loaded(common)
    planned = plan(told.history.times, told.question.every, delay=told.question.delay)
    scorer = WindowScorer(train, told.history, planned, told.question.seed, lambda line: None)
    windows, arrays = ordered_windows(planned), dict[str, Any]()
    for number in json.loads(item):
        for i, training in enumerate(_judged(planned, windows[number])):
            judged = scorer.judge(training)
            arrays[f"{number}-{i}"] = judged.losses
            arrays[f"{number}-{i}-measure"] = np.array(judged.measure)
    raw = io.BytesIO()
    np.savez(raw, **arrays)
    return raw.getvalue()


@functools.lru_cache(maxsize=1)
def _loaded(common: bytes) -> tuple[SpreadTrainings, Train]:
    """Return what a task is told, and its training; a process that computes many has both once."""
    told: SpreadTrainings = pickle.loads(common)
    path = told.path
    if told.code is not None:
        # Until the process ends: code may import more of itself when it is called.
        folder = tempfile.mkdtemp(prefix="edge-hub-code-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        unpack(told.code, Path(folder))
        path = str(Path(folder) / FOLDER)
    try:
        return told, function_of(told.entry, path)
    except Exception as error:  # importing a module raises anything
        raise Invalid(f"{told.entry}: {type(error).__name__}: {error}") from error


def ordered_windows(planned: TrainingPlan) -> list[RowWindow]:
    """Return every window of a plan in one order."""
    return sorted(planned.windows, key=lambda window: (window.begin, window.end))


def _judged(planned: TrainingPlan, window: RowWindow) -> list[PlannedTraining]:
    """Return the trainings on a window, in one order."""
    several = (*planned.schedules.values(), tuple(training for _, training in planned.ages))
    found = {training for trainings in several for training in trainings if training.on == window}
    return sorted(found, key=lambda training: (training.judged.begin, training.judged.end))


def _losses_from(
    raw: bytes, planned: TrainingPlan, windows: Sequence[RowWindow]
) -> dict[PlannedTraining, JudgedLosses]:
    """Read what :func:`train_windows` returned; it ran code of users, so nothing is unpickled."""
    numbers = {window: i for i, window in enumerate(ordered_windows(planned))}
    try:
        with np.load(io.BytesIO(raw), allow_pickle=False) as file:
            return {
                training: JudgedLosses(
                    file[f"{numbers[window]}-{i}"].astype(np.float64),
                    str(file[f"{numbers[window]}-{i}-measure"])[:100],
                )
                for window in windows
                for i, training in enumerate(_judged(planned, window))
            }
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise HubFault(f"freshness: a task returned no losses; {error}") from error
