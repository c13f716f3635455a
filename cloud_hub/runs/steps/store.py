"""Records of steps: the metadata store of runs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Literal

from sqlalchemy import Engine, delete, insert, select, update

from cloud_hub.database.documents import Document
from cloud_hub.database.engine import transaction
from cloud_hub.errors import NotFound
from cloud_hub.runs.steps.names import STEPS, StepName, cache_key, changed_inputs
from cloud_hub.runs.steps.tables import run_steps
from edge_sdk.errors import EdgeError

StepStatus = Literal["running", "done", "failed", "skipped", "reused", "interrupted"]
MOST: Final = 1_000
"""Records that one question is answered with, the newest."""

LOG: Final = 20_000
"""Characters of a hub's own step that are kept as its log."""


@dataclass(frozen=True)
class StepRecord:
    """One step of one attempt at a run.

    Attributes:
        run: number of the run.
        model: its model.
        attempt: of the run, from 1.
        step: its name.
        status: ``reused`` was done by an earlier attempt, ``reason`` says which; ``interrupted``
            ended with the hub.
        began_at: Unix seconds.
        ended_at: Unix seconds, ``None`` while it runs.
        cache_key: equal for steps of the same inputs.
        inputs: what it was given, by name: digests, versions, thresholds.
        outputs: what it made, by name.
        metrics: its figures.
        resources: ``seconds``, ``cpu_seconds``, ``peak_mb`` (where it needed more memory than the
            steps before it) and ``worker_peak_mb`` (of all its worker's steps), as far as they were
            measured.
        log: lines of a step that the hub took; the worker's are in the log of the run.
        reason: why it failed, was skipped, or what became of it.
    """

    run: int
    model: str
    attempt: int
    step: StepName
    status: StepStatus
    began_at: float
    ended_at: float | None = None
    cache_key: str = ""
    inputs: Document = field(default_factory=dict)
    outputs: Document = field(default_factory=dict)
    metrics: Document = field(default_factory=dict)
    resources: Document = field(default_factory=dict)
    log: str = ""
    reason: str = ""

    @property
    def good(self) -> bool:
        """Whether what comes after may build on it."""
        return self.status in ("done", "skipped", "reused")


@dataclass
class StepNotes:
    """What a step that is under way has to say; see :meth:`StepStore.recorded`."""

    outputs: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    failed: str = ""


class StepStore:
    """Steps of the runs of all models."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def put(self, record: StepRecord) -> None:
        """Store a step, in place of what the attempt had for it."""
        key = record.cache_key or cache_key(record.step, record.inputs)
        c = run_steps.c
        own = (c.run == record.run, c.attempt == record.attempt, c.step == record.step)
        with transaction(self._engine) as db:
            db.execute(delete(run_steps).where(*own))
            db.execute(insert(run_steps).values(**{**asdict(record), "cache_key": key}))

    def begin(
        self, run: int, model: str, attempt: int, step: StepName, inputs: Document
    ) -> StepRecord:
        """Store that a step has begun, and return its record; arguments as :meth:`recorded`'s."""
        record = StepRecord(run, model, attempt, step, "running", time.time(), inputs=inputs)
        self.put(record)
        return record

    @contextlib.contextmanager
    def recorded(
        self, run: int, model: str, attempt: int, step: StepName, inputs: Document
    ) -> Iterator[StepNotes]:
        """Record a step that the hub takes in this ``with``: its time, its end, its error.

        Args:
            run: number of the run.
            model: of the run.
            attempt: of the run.
            step: its name.
            inputs: see :class:`StepRecord`.
        """
        record = self.begin(run, model, attempt, step, inputs)
        notes, began, cpu = StepNotes(), time.perf_counter(), time.thread_time()
        try:
            yield notes
        except EdgeError as error:
            notes.failed = str(error)
            raise
        except BaseException as error:
            notes.failed = f"{type(error).__name__}: {error}"
            raise
        finally:
            used = {
                "seconds": round(time.perf_counter() - began, 6),
                "cpu_seconds": round(time.thread_time() - cpu, 6),
            }
            self.put(
                replace(
                    record, status="failed" if notes.failed else "done", ended_at=time.time(),
                    outputs=notes.outputs, metrics=notes.metrics, resources=used,
                    log="\n".join(notes.lines)[:LOG], reason=notes.failed,
                )
            )  # fmt: skip

    def reuse(self, run: int, attempt: int, taken: Sequence[StepRecord]) -> None:
        """Note in an attempt the steps of an earlier one that it goes on from."""
        for record in taken:
            first = record.reason if record.status == "reused" else f"of attempt {record.attempt}"
            status: StepStatus = "skipped" if record.status == "skipped" else "reused"
            self.put(replace(record, attempt=attempt, status=status, reason=first))

    def end_running(self, run: int, attempt: int, status: StepStatus, reason: str) -> None:
        """Note the end of the step of an attempt that is under way, if one is.

        Args:
            run: number of the run.
            attempt: of the run.
            status: ``done``, ``failed``, or ``interrupted`` by the end of the hub.
            reason: for people.
        """
        c = run_steps.c
        mine = (c.run == run, c.attempt == attempt, c.status == "running")
        values = {"status": status, "reason": reason, "ended_at": time.time()}
        with transaction(self._engine) as db:
            db.execute(update(run_steps).where(*mine).values(**values))

    def of_run(self, run: int, attempt: int | None = None) -> list[StepRecord]:
        """Return the steps of a run in order, those of its last attempt unless one is named."""
        records = self.records(run=run)
        last = max((r.attempt for r in records), default=0) if attempt is None else attempt
        mine = [r for r in records if r.attempt == last]
        return sorted(mine, key=lambda record: STEPS.index(record.step))

    def has_begun(self, run: int, attempt: int, step: StepName, inputs: Document) -> bool:
        """Tell whether an attempt has begun a step with these inputs."""
        taken = (record for record in self.of_run(run, attempt) if record.step == step)
        return any(not changed_inputs(record.inputs, inputs) for record in taken)

    def get(self, run: int, step: StepName) -> StepRecord:
        """Return a step of the last attempt that has it; raises NotFound."""
        found = [record for record in self.records(run=run) if record.step == step]
        if not found:
            raise NotFound(f"run {run}: has taken no step {step}")
        return max(found, key=lambda record: record.attempt)

    def records(
        self,
        *,
        run: int | None = None,
        model: str | None = None,
        step: StepName | None = None,
        status: str | None = None,
        key: str | None = None,
    ) -> list[StepRecord]:
        """Return steps, oldest first, the newest :data:`MOST` of them.

        Args:
            run: of this run alone.
            model: of this model alone.
            step: of this name alone.
            status: that ended so.
            key: of the same step and inputs.
        """
        c = run_steps.c
        wanted = {c.run: run, c.model: model, c.step: step, c.status: status, c.cache_key: key}
        query = select(run_steps).order_by(c.id.desc()).limit(MOST)
        query = query.where(*(col == value for col, value in wanted.items() if value is not None))
        with self._engine.connect() as db:
            rows = db.execute(query).mappings().all()
        return [StepRecord(**{k: v for k, v in row.items() if k != "id"}) for row in rows[::-1]]
