"""Inputs and outputs of the steps that a worker takes, as the hub knows them.

A worker tells times and figures; what went in and what came out the hub reads itself.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloud_hub.isolation.handback import printable
from cloud_hub.runs import jobs
from cloud_hub.runs.code.environment import environment_digest, packages
from cloud_hub.runs.results import REASON, RELEASE
from cloud_hub.runs.steps.names import WORKER_STEPS, StepName
from cloud_hub.runs.steps.store import StepRecord, StepStatus
from edge_sdk.contract.manifest import MANIFEST, Manifest
from edge_sdk.system.files import sha256_file

if TYPE_CHECKING:
    from cloud_hub.runs.code.service import PipelineVersion
    from cloud_hub.runs.jobs import TrainingJob
    from cloud_hub.runs.rows import RowsTaken
    from cloud_hub.runs.steps.recorder import WorkerStep
    from cloud_hub.runs.store import RunRecord


def train_inputs(
    job: TrainingJob,
    taken: RowsTaken,
    *,
    parent: str,
    state: bytes | None,
    code: PipelineVersion | None,
    rehearsal: Mapping[str, Any],
    features: Mapping[str, str],
) -> dict[str, Any]:
    """Return all that a training depends on, as far as the hub can tell.

    Args:
        job: the training.
        taken: its rows.
        parent: digest of the parent's release.
        state: that it continues from.
        code: version of its code; ``None`` for a pipeline elsewhere.
        rehearsal: the policy's section.
        features: digests of the sets of features that it is given, by ``NAME@N``.
    """
    return {
        "code": code.digest if code is not None else "elsewhere",
        "environment": environment_digest(packages()),
        "datasets": dict(taken.fingerprints),
        "mode": job.mode,
        "parent": parent,
        "state": hashlib.sha256(state).hexdigest() if state is not None else "",
        "seed": job.seed,
        "features": dict(features),
        "rehearsal": dict(rehearsal),
        "rehearsal_rows": len(taken.rehearsal or ()),
    }


def worker_records(
    run: RunRecord, folder: Path, job: TrainingJob, inputs: Mapping[str, Any],
    claims: Sequence[WorkerStep], *, failure: str,
) -> list[StepRecord]:  # fmt: skip
    """Return the records of what a worker did.

    Args:
        run: the attempt that it worked for, with the most memory that it held, as measured.
        folder: of the attempt, with what was taken.
        job: that it had.
        inputs: of the training, see :func:`train_inputs`.
        claims: what it says of its steps.
        failure: why there is no release; empty if there is one.
    """
    trained = _sha256(folder, jobs.MODEL) or _sha256(folder, jobs.NEXT_STATE)
    held, release = _sha256(folder, jobs.HELD), _release(folder)
    given = {
        "train": inputs,
        "evaluate": {"trained": trained, "held": held},
        "convert": {
            "trained": trained, "held": held, "version": job.versions.get(job.mode),
            "parent": job.parent, "variants": job.variants,
            "cloud": job.cloud and Path(job.cloud).name,  # a folder is named by its digest
            "environment": environment_digest(packages()),
        },
        "certify": {"release": release.get("manifest")},
    }  # fmt: skip
    made: dict[str, Mapping[str, Any]] = {
        "train": {"trained": trained, "state": _sha256(folder, jobs.NEXT_STATE)},
        "convert": release,
    }
    by_name = {claim.name: claim for claim in claims}
    first = WORKER_STEPS.index(_first(job))
    records: list[StepRecord] = []
    for name in WORKER_STEPS[first:]:
        claim = by_name.get(name)
        if claim is None and ((records and not records[-1].good) or not failure):
            continue
        record = StepRecord(
            run.id, run.model, run.attempts, name, "failed", run.until or 0.0, time.time(),
            inputs=given[name], outputs=made.get(name, {}), reason=failure,
        )  # fmt: skip
        records.append(record if claim is None else _claimed(record, claim, run.peak_mb, failure))
    if failure and records and records[-1].good:  # what it left was refused
        records[-1] = replace(records[-1], status="failed", reason=failure)
    return records


def _first(job: TrainingJob) -> StepName:
    return next(name for name in WORKER_STEPS if name == job.begin)


def _claimed(record: StepRecord, claim: WorkerStep, peak_mb: int, failure: str) -> StepRecord:
    status: StepStatus = "failed"
    if claim.status in ("done", "skipped"):
        status = "done" if claim.status == "done" else "skipped"
    reason = printable(claim.reason, REASON) if status == "skipped" else ""
    ended = claim.ended or time.time()
    used = {
        "seconds": round(max(0.0, ended - claim.began), 3), "cpu_seconds": claim.cpu_seconds,
        "peak_mb": claim.peak_mb, "worker_peak_mb": float(peak_mb),
    }  # fmt: skip
    return replace(
        record, status=status, began_at=claim.began, ended_at=ended, metrics=claim.metrics,
        resources={name: value for name, value in used.items() if value or name == "seconds"},
        reason=failure if status == "failed" else reason,
    )  # fmt: skip


def _sha256(folder: Path, name: str) -> str:
    path = folder / name
    return sha256_file(path) if path.exists() else ""


def _release(folder: Path) -> dict[str, Any]:
    path = folder / RELEASE / MANIFEST
    if not path.exists():
        return {}
    raw = path.read_bytes()
    files = {name: ref.sha256 for name, ref in Manifest.from_json(raw).files.items()}
    return {"manifest": hashlib.sha256(raw).hexdigest(), "files": files}
