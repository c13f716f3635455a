"""Steps as a worker takes them: it notes them in ``steps.json``, which the hub reads afterwards.

The worker runs foreign code, so these are claims: they decide nothing.
"""

from __future__ import annotations

import contextlib
import math
import resource
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cloud_hub.runs.steps.names import WORKER_STEPS, StepName
from edge_sdk.contract.codec import decode, encode
from edge_sdk.system.files import write_atomic

FILE: Final = "steps.json"
FILE_BYTES: Final = 1 << 20
METRICS: Final = 100
"""Figures of one step that are kept."""

MARK: Final = "── step {} ──"
"""Line of the worker's output before the lines of a step."""


@dataclass
class WorkerStep:
    """A step of a worker. Times in Unix seconds; ``ended`` is 0 while it runs; ``peak_mb`` is 0
    where it needed no more memory than the steps before it.
    """

    name: str
    began: float
    ended: float = 0.0
    status: str = "running"
    reason: str = ""
    cpu_seconds: float = 0.0
    peak_mb: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class WorkerSteps:
    """The steps of a worker so far."""

    steps: tuple[WorkerStep, ...] = ()


class StepSkipped(Exception):
    """Raised in a step that does not apply; the text says why."""


class StepRecorder:
    """Notes the steps of this process in a folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._steps: list[WorkerStep] = []

    @contextlib.contextmanager
    def step(self, name: StepName) -> Iterator[WorkerStep]:
        """Note a step while it runs and when it ends; what is raised goes on."""
        print(MARK.format(name), flush=True)
        step = WorkerStep(name, time.time())
        self._steps.append(step)
        self._write()
        cpu, peak = _cpu_seconds(), _peak_mb()
        try:
            yield step
            step.status = "done"
        except StepSkipped as skipped:
            step.status, step.reason = "skipped", str(skipped)
            print(f"skipped: {skipped}", flush=True)
        except BaseException as error:
            step.status, step.reason = "failed", f"{type(error).__name__}: {error}"[:2_000]
            raise
        finally:
            step.ended = time.time()
            # The system keeps one mark for the whole process: what did not raise it is not known.
            step.peak_mb = now if (now := _peak_mb()) > peak else 0.0
            step.cpu_seconds = round(_cpu_seconds() - cpu, 3)
            self._write()

    def _write(self) -> None:
        write_atomic(self._path, encode(WorkerSteps(tuple(self._steps))))


def _cpu_seconds() -> float:
    own, children = (
        resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def _peak_mb() -> float:
    # Kilobytes, but on macOS bytes.
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    peak = max(
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return round(peak / unit, 1)


def claimed_steps(raw: bytes | None) -> list[WorkerStep]:
    """Return what a worker said of its steps, made harmless: known names, finite numbers.

    Raises:
        ContractError: it is something else.
    """
    if raw is None:
        return []
    known: dict[str, WorkerStep] = {}
    for step in decode(WorkerSteps, raw, limit=FILE_BYTES).steps:
        if step.name in WORKER_STEPS:
            known[step.name] = _harmless(step)
    return list(known.values())


def _harmless(step: WorkerStep) -> WorkerStep:
    status = step.status if step.status in ("done", "failed", "skipped") else "failed"
    metrics = {str(name)[:80]: _finite(v) for name, v in list(step.metrics.items())[:METRICS]}
    return WorkerStep(
        step.name, _finite(step.began), _finite(step.ended), status, step.reason,
        _finite(step.cpu_seconds), _finite(step.peak_mb), metrics,
    )  # fmt: skip


def _finite(number: float) -> float:
    return number if math.isfinite(number) and abs(number) < 1e15 else 0.0


def log_of(step: StepName, lines: Sequence[str]) -> list[str]:
    """Return the lines that a worker printed in one of its steps."""
    marks = {MARK.format(name): name for name in WORKER_STEPS}
    found: list[str] = []
    inside: str | None = None
    for line in lines:
        if line in marks:
            inside = marks[line]
        elif inside == step:
            found.append(line)
    return found


def as_metrics(figures: Mapping[str, Any]) -> dict[str, float]:
    """Return those of the figures that are numbers."""
    return {
        name: float(value)
        for name, value in figures.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
