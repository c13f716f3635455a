"""Has a prior fitted by a worker, and takes what it leaves: one for this release, or a reason."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from cloud_hub.errors import HubFault, Invalid
from cloud_hub.isolation.handback import opened, printable
from cloud_hub.isolation.process_limits import ProcessLimits
from cloud_hub.personalise import job as jobs
from cloud_hub.personalise.job import FitJob, FitResult
from edge_sdk.contract.codec import decode, encode
from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.personal.prior import PRIOR_BYTES, PersonalPrior
from edge_sdk.errors import PackError
from edge_sdk.personalise.prior_file import check_prior

if TYPE_CHECKING:
    from cloud_hub.isolation.workers import Workers
    from edge_sdk.model.release import Release

LIMITS: Final = ProcessLimits(300.0, 4_096)
"""The hub's loop waits for the fit of a version that a run made."""


def fit_apart(
    workers: Workers,
    release: Release,
    rows: BinaryIO,
    job: FitJob,
    before: PersonalPrior | None = None,
    *,
    foreign: bool = False,
) -> tuple[PersonalPrior, FitResult]:
    """Return a prior for a release, fitted in a process without the hub's rights.

    Args:
        workers: start the process.
        release: that the prior is for.
        rows: file of labelled rows with a column of units, at its beginning.
        job: what to fit.
        before: prior whose space is kept, so that units keep what was learned of them.
        foreign: what others than publishers of this hub made is loaded.

    Raises:
        Invalid: the rows do not do, the model cannot be run, or the worker left something else.
        HubFault: no worker can be started on this machine.
    """
    work = workers.new_folder()
    try:
        shutil.copytree(release.folder, work / jobs.RELEASE)
        with (work / jobs.ROWS).open("xb") as file:
            shutil.copyfileobj(rows, file, 1 << 20)
        if before is not None:
            (work / jobs.BEFORE).write_bytes(before.to_bytes())
        (work / jobs.JOB).write_bytes(encode(job))
        process = workers.start(
            "cloud_hub.personalise.worker", [], work, work / "log.txt", LIMITS, foreign=foreign
        )
        process.wait()
        if process.isolation.refused:
            raise HubFault(f"personal prior: {process.isolation.refused}")
        if process.broke:
            raise Invalid(f"personal prior: the fit did not end; {process.ended()}")
        return _taken(work, release, process.ended())
    finally:
        workers.remove(work)


def _taken(work: Path, release: Release, ended: str) -> tuple[PersonalPrior, FitResult]:
    """Return what the worker left, checked: its model may have taken it over."""
    with opened(work) as left:
        said = left.read(jobs.RESULT, jobs.RESULT_BYTES)
        raw = left.read(jobs.PRIOR, PRIOR_BYTES)
    if said is None:
        raise Invalid(f"personal prior: the fit left no result; {ended}")
    try:
        result = _printable(decode(FitResult, said, limit=jobs.RESULT_BYTES))
        if result.reason or raw is None:
            raise Invalid(f"personal prior: {result.reason or 'the fit left none'}")
        prior = PersonalPrior.from_bytes(raw)
        check_prior(prior, release)
    except (ContractError, PackError) as error:
        raise Invalid(f"personal prior: the fit left something else; {error}") from error
    return prior, result


def _printable(result: FitResult) -> FitResult:
    return replace(
        result,
        reason=printable(result.reason, jobs.REASON),
        verdict=printable(result.verdict, jobs.REASON),
        said=tuple(printable(each, jobs.REASON) for each in result.said[:20]),
    )
