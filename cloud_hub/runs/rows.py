"""Rows of a run: collected as versions of datasets, validated, and old ones drawn to rehearse."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from cloud_hub.data.dataset import Dataset
from cloud_hub.data.fit import fitted, no_rows
from cloud_hub.database.documents import as_document
from cloud_hub.datasets.records import FRESH, HOLDOUT, TRAIN
from cloud_hub.errors import Invalid
from cloud_hub.runs.jobs import held_back
from cloud_hub.runs.steps.rehearsal import rehearsal_rows

if TYPE_CHECKING:
    from cloud_hub.data.validation.origins import CappedRows
    from cloud_hub.datasets.records import DatasetRecord
    from cloud_hub.datasets.service import Datasets
    from cloud_hub.datasets.validation import DatasetValidation
    from cloud_hub.policy.schema.rehearsal import RehearsalPolicy
    from cloud_hub.policy.schema.sections import TrainPolicy
    from cloud_hub.registry.service import Registry
    from cloud_hub.runs.steps.store import StepStore
    from cloud_hub.runs.store import RunRecord, RunStore

log = logging.getLogger(__name__)

ACTOR: Final = "hub"
EARLIER: Final = 10
"""Earlier versions of ``fresh`` that rehearsal rows are drawn from, the newest."""


@dataclass(frozen=True)
class RowsTaken:
    """Rows that a run trains on.

    Attributes:
        fresh: rows that devices shared; none where a training brings its own.
        history: the dataset ``train``, if there is one.
        records: versions of datasets that both are.
        rehearsal: old rows that are mixed into the fresh ones.
        rehearsed: what was drawn, in words.
        drawn_from: versions of datasets that it was drawn from, as ``NAME@N``.
        kept_out: version of the holdout, whose rows were not drawn; empty without one.
    """

    fresh: Dataset
    history: Dataset | None
    records: tuple[DatasetRecord, ...]
    rehearsal: Dataset | None = None
    rehearsed: str = ""
    drawn_from: tuple[str, ...] = ()
    kept_out: str = ""

    @property
    def refs(self) -> tuple[str, ...]:
        """Return the versions as ``NAME@N``."""
        return tuple(record.ref for record in self.records)

    @property
    def fingerprints(self) -> Mapping[str, str]:
        """Return the digests of the content, by ``NAME@N``."""
        return {record.ref: record.fingerprint for record in self.records}


def collect_inputs(policy: TrainPolicy) -> dict[str, Any]:
    """Return what a collection depends on, beside what there is to collect."""
    rehearsal = policy.rehearsal
    drawn_from = list(rehearsal.datasets) if rehearsal.share > 0 else []
    return {"minimum_samples": policy.minimum_samples, "rehearsal": drawn_from}


class RunRows:
    """Takes the rows of runs.

    Args:
        store: runs, on which datasets and reports are noted.
        steps: where ``collect`` and ``validate`` are recorded.
        registry: releases, whose columns rows have.
        datasets: versions of rows.
        validation: checks them.
    """

    def __init__(
        self,
        store: RunStore,
        steps: StepStore,
        registry: Registry,
        datasets: Datasets,
        validation: DatasetValidation,
    ) -> None:
        self._store = store
        self._steps = steps
        self._registry = registry
        self._datasets = datasets
        self._validation = validation

    def collect(
        self, run: RunRecord, attempt: int, policy: TrainPolicy, shared: CappedRows | None
    ) -> RowsTaken:
        """Store what devices shared as a version of a dataset; find the history.

        Shared rows become a version: what a run saw can be told, and seen again.

        Args:
            run: that takes them.
            attempt: of the run.
            policy: how to train.
            shared: labelled rows; ``None`` where a training brings its own.

        Raises:
            Invalid: rows that cannot be trained on.
        """
        inputs = {"since": run.since, **collect_inputs(policy)}
        with self._steps.recorded(run.id, run.model, attempt, "collect", inputs) as step:
            records = []
            if shared is not None:
                source = f"shared by devices, run {run.id}"
                source += f"; {shared.words()}" if shared.left_out else ""
                records.append(
                    self._datasets.add(run.model, FRESH, shared.data, actor=ACTOR, source=source)
                )
            history = self._datasets.newest(run.model, TRAIN)
            if history is not None and history.blob:
                records.append(history)
            refs = [record.ref for record in records]
            self._store.note(run, datasets=refs)
            sources = self._sources(run, policy.rehearsal, records)
            data = None if shared is None else shared.data
            taken = self._opened(run, policy.rehearsal, records, data, sources)
            step.outputs = {
                "datasets": dict(taken.fingerprints),
                "rehearsal": list(taken.drawn_from),
                "holdout": taken.kept_out,
            }
            step.metrics = {record.ref: float(record.rows) for record in records}
            step.lines = [f"{record.ref}: {record.rows} rows" for record in records]
            cut = shared.words() if shared is not None else ""
            step.lines += [line for line in (cut, taken.rehearsed) if line]
        return taken

    def again(self, run: RunRecord, rehearsal: RehearsalPolicy) -> RowsTaken:
        """Return the rows that a run took, from their versions.

        Args:
            run: that took them.
            rehearsal: how old rows are drawn; from the same versions as then.

        Raises:
            Conflict: the rows of a version were deleted.
            NotFound: there is no such version, or the run has not collected any.
        """
        records = [self._datasets.get(run.model, ref) for ref in run.datasets]
        found = self._steps.get(run.id, "collect").outputs
        sources = (tuple(found.get("rehearsal", ())), str(found.get("holdout", "")))
        return self._opened(run, rehearsal, records, None, sources)

    def check_again(self, run: RunRecord, policy: TrainPolicy) -> None:
        """Check the rows that a run has taken by the thresholds of now; see :meth:`validate`."""
        self.validate(run, run.attempts, policy, self.again(run, policy.rehearsal))

    def validate(self, run: RunRecord, attempt: int, policy: TrainPolicy, taken: RowsTaken) -> None:
        """Check every version that a run trains on, and note the reports on the run.

        Raises:
            Invalid: a check fails; says which, of which rows.
        """
        inputs = self.validate_inputs(policy, taken)
        with self._steps.recorded(run.id, run.model, attempt, "validate", inputs) as step:
            if not policy.validation.enabled:
                step.lines = ["not made: train.validation.enabled is false"]
                return
            reports: list[Any] = []
            refusals, findings = [], 0
            for record in taken.records:
                fresh = record.name == FRESH
                data = taken.fresh if fresh else self._datasets.open(record)
                report = self._validation.validate(
                    record, policy.validation, version=run.parent, data=data
                )
                reports.append({"dataset": record.ref, **as_document(report)})
                step.lines += [f"{record.ref}: {f.level}: {f.text}" for f in report.findings]
                findings += len(report.findings)
                refusals += [] if report.ok else [f"{record.ref}: {report.reason()}"]
            self._store.note(run, validation=reports)
            step.metrics = {"findings": float(findings), "refused": float(len(refusals))}
            for line in step.lines:
                log.info("%s: run %s, %s", run.model, run.id, line)
            if refusals:
                raise Invalid("; ".join(refusals))

    def validate_inputs(self, policy: TrainPolicy, taken: RowsTaken) -> Mapping[str, Any]:
        """Return what a validation depends on."""
        return {"datasets": dict(taken.fingerprints), "thresholds": asdict(policy.validation)}

    def _opened(
        self,
        run: RunRecord,
        policy: RehearsalPolicy,
        records: Sequence[DatasetRecord],
        shared: Dataset | None,
        sources: tuple[tuple[str, ...], str],
    ) -> RowsTaken:
        by_name = {record.name: record for record in records}
        fresh, history = shared, None
        if fresh is None and FRESH in by_name:
            fresh = self._datasets.open(by_name[FRESH])
        if fresh is None:
            columns = self._registry.release(run.model, run.parent).manifest.signature.columns
            fresh = no_rows(columns)
        if TRAIN in by_name:
            history = self._datasets.open(by_name[TRAIN])
            if history.positional and len(history.names) == len(fresh.names):
                history = fitted(history, fresh.names, run.parent)
        rehearsal, said = self._rehearsal(run, policy, fresh, sources)
        return RowsTaken(fresh, history, tuple(records), rehearsal, said, *sources)

    def _rehearsal(
        self,
        run: RunRecord,
        policy: RehearsalPolicy,
        fresh: Dataset,
        sources: tuple[tuple[str, ...], str],
    ) -> tuple[Dataset | None, str]:
        drawn_from, kept_out = sources
        if policy.share <= 0 or fresh.label is None:
            return None, ""
        held = held_back(fresh)
        never = [fresh.take(held), *self._open_all(run, [kept_out] if kept_out else [])]
        known = self._open_all(run, drawn_from)
        return rehearsal_rows(fresh.take(~held), known, policy, seed=run.id, never=never)

    def _open_all(self, run: RunRecord, refs: Sequence[str]) -> list[Dataset]:
        return [self._datasets.open(self._datasets.get(run.model, ref)) for ref in refs]

    def _sources(
        self, run: RunRecord, policy: RehearsalPolicy, own: Sequence[DatasetRecord]
    ) -> tuple[tuple[str, ...], str]:
        """Return the versions that old rows are drawn from, and that of the holdout."""
        if policy.share <= 0:
            return (), ""
        found: list[DatasetRecord] = []
        for name in policy.datasets:
            newest = self._datasets.newest(run.model, name)
            if name == FRESH:
                mine = {record.ref for record in own}
                versions = self._datasets.records(run.model, FRESH)
                found += [r for r in versions if r.blob and r.ref not in mine][-EARLIER:]
            elif newest is not None and newest.blob:
                found.append(newest)
        holdout = self._datasets.newest(run.model, HOLDOUT)
        kept_out = holdout.ref if holdout is not None and holdout.blob else ""
        return tuple(record.ref for record in found), kept_out
