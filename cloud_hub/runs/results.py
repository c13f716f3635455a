"""What the hub takes from a training: its result, a release, a state. Nothing else, all checked.

The worker may have been taken over by what it loaded. So it can choose numbers, but not for which
model or version the hub signs, nor which files the hub reads.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from cloud_hub.errors import Invalid
from cloud_hub.isolation.handback import Handback, opened, printable
from cloud_hub.runs import jobs
from cloud_hub.runs.jobs import JobResult, TrainingJob
from cloud_hub.runs.steps.recorder import FILE as STEPS
from cloud_hub.runs.steps.recorder import FILE_BYTES as STEPS_BYTES
from cloud_hub.runs.steps.recorder import WorkerStep, claimed_steps
from edge_sdk.contract.codec import decode, encode
from edge_sdk.contract.errors import ContractError, EdgeError
from edge_sdk.contract.limits import (
    CERTIFICATE_BYTES,
    MANIFEST_BYTES,
    MODEL_BYTES,
    PROFILE_BYTES,
    VARIANTS,
)
from edge_sdk.contract.manifest import DOCUMENTS, MANIFEST, PROFILE, Manifest
from edge_sdk.model.release import Release
from edge_sdk.system.files import folder_atomic, write_atomic

RESULT, RELEASE = "result.json", "release"
RESULT_BYTES: Final = 1 << 20
REASON: Final = 2_000
"""Characters of a reason that a worker gives."""

FILES: Final = 3 * VARIANTS + len((PROFILE, *DOCUMENTS))
"""Files that a release may have: model, golden vectors and certificate of each variant, and what
they share.
"""


def take(work: Path, folder: Path, job: TrainingJob) -> JobResult | None:
    """Copy what a training left into the folder of its attempt.

    Args:
        work: folder of the worker, which has ended.
        folder: of the attempt, in the hub's data.
        job: as the hub gave it; the copy in ``work`` may be another one by now.

    Returns:
        The result, ``None`` if it left none.

    Raises:
        Invalid: it left something else than a result, or a release of something else.
    """
    with opened(work) as left:
        raw = left.read(RESULT, RESULT_BYTES)
        if raw is None:
            return None
        try:
            result = decode(JobResult, raw, limit=RESULT_BYTES)
        except ContractError as error:
            raise Invalid(f"the training left {RESULT}: {error}") from error
        result = replace(
            result,
            reason=printable(result.reason, REASON),
            mode_reason=printable(result.mode_reason, REASON),
        )
        take_trained(left, folder)
        if result.ok:
            _take_release(left, folder / RELEASE, job, result)
    write_atomic(folder / RESULT, encode(result))  # last: with it the attempt is complete
    return result


def take_trained(left: Handback, folder: Path) -> None:
    """Copy the trained model, if there is one: bytes that only workers load.

    Raises:
        Invalid: it left something else than plain files.
    """
    complete = left.read(jobs.TRAINED, RESULT_BYTES) is not None
    for name in (
        jobs.TRAINED_FILES if complete else (jobs.NEXT_STATE,)
    ):  # the description last: with it the model is complete
        if not (folder / name).exists():
            left.copy(name, folder / name, MODEL_BYTES)


def take_steps(work: Path, folder: Path) -> None:
    """Copy what a worker that has ended says of its steps; nothing if that is not readable.

    Args:
        work: folder of the worker.
        folder: of the attempt.
    """
    try:
        with opened(work) as left:
            raw = left.read(STEPS, STEPS_BYTES)
    except Invalid:
        return
    if raw is not None:
        write_atomic(folder / STEPS, raw)


def steps_of(folder: Path) -> list[WorkerStep]:
    """Return the steps that the worker of an attempt says it took; none if that is no such list."""
    path = folder / STEPS
    try:
        return claimed_steps(path.read_bytes() if path.exists() else None)
    except ContractError:
        return []


def _take_release(left: Handback, to: Path, job: TrainingJob, result: JobResult) -> None:
    with left.folder(RELEASE) as source:
        raw = source.read(MANIFEST, MANIFEST_BYTES)
        if raw is None:
            raise Invalid(f"the training left no {RELEASE}/{MANIFEST}")
        try:
            manifest = Manifest.from_json(raw)
        except ContractError as error:
            raise Invalid(f"the training left {MANIFEST}: {error}") from error
        _check(manifest, job, result)
        parsed = {variant.certificate: CERTIFICATE_BYTES for variant in manifest.variants}
        parsed[PROFILE] = PROFILE_BYTES
        with folder_atomic(to) as temporary:
            for name in manifest.files:
                source.copy(name, temporary / name, parsed.get(name, MODEL_BYTES))
            (temporary / MANIFEST).write_bytes(raw)
    try:
        release = Release.open(to)
        # Parsed once here, so that nothing that cannot be read is signed. Not the golden vectors,
        # which are packed: a small file may hold a terabyte. The gate's worker reads them.
        release.profile()
        for variant in release.variants:
            variant.certificate()
    except EdgeError as error:
        raise Invalid(f"the training left a release that cannot be used: {error}") from error


def _check(manifest: Manifest, job: TrainingJob, result: JobResult) -> None:
    """Raise Invalid unless the release is what the training was for."""
    expected = (job.model, job.versions.get(result.mode), job.parent, result.mode)
    lineage = manifest.lineage
    found = (manifest.model, manifest.version, lineage.parent, lineage.mode)
    if found != expected:
        raise Invalid(
            "the training left a release of something else: expected model, version, parent and "
            f"mode {expected}, got {found}"
        )
    if len(manifest.files) > FILES:
        raise Invalid(f"the training left {len(manifest.files)} files, at most {FILES} are taken")
