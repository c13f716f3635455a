"""Fits a prior in a worker: ``python -m cloud_hub.personalise.worker`` in its folder.

The release may be one that a run has just made: its model is foreign code, and is run where there
are no keys. Rows that nobody bounded are read here too, so that a fit takes the memory of a worker.
"""

from __future__ import annotations

import sys
import traceback
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cloud_hub.errors import HubFault, Invalid
from cloud_hub.personalise import job as jobs
from cloud_hub.personalise.answering import answered, basis_for
from cloud_hub.personalise.fitting import FittedPrior, fit_classes, fit_numbers
from cloud_hub.personalise.job import FitJob, FitResult, with_half_lives
from cloud_hub.personalise.sampling import UnitColumns, sampled_rows
from edge_sdk.contract.codec import decode, encode
from edge_sdk.contract.personal.prior import PersonalPrior
from edge_sdk.contract.personal.settings import PersonalSettings
from edge_sdk.errors import EdgeError
from edge_sdk.model.release import Release
from edge_sdk.system.files import write_atomic

if TYPE_CHECKING:
    from cloud_hub.personalise.answering import AnsweredRows
    from cloud_hub.personalise.sampling import SampledRows
    from edge_sdk.contract.manifest import Manifest


def main(folder: Path) -> int:
    """Make the fit that a folder describes; leave a prior there, or the reason why there is none.

    Returns:
        The exit status.
    """
    job = decode(FitJob, (folder / jobs.JOB).read_bytes(), limit=jobs.JOB_BYTES)
    try:
        prior, result = fitted(folder, job)
        write_atomic(folder / jobs.PRIOR, prior.to_bytes())
    except (HubFault, EdgeError) as error:
        # The folder of a fit is gone when somebody reads this.
        result = FitResult(reason=str(error).replace(str(folder / jobs.ROWS), "the rows"))
    except Exception as error:  # whatever a model that somebody made does, the person is told
        traceback.print_exc()
        result = FitResult(reason=f"{type(error).__name__}: {error}")
    write_atomic(folder / jobs.RESULT, encode(replace(result, reason=result.reason[: jobs.REASON])))
    return 1 if result.reason else 0


def fitted(folder: Path, job: FitJob) -> tuple[PersonalPrior, FitResult]:
    """Return the prior of the release in a folder, and how the fit went.

    Args:
        folder: with the release, the rows and, where its space is to be kept, a prior before.
        job: what to fit.

    Raises:
        Invalid: the rows do not do.
        ReleaseError: the model cannot be run.
    """
    release = Release.open(folder / jobs.RELEASE)
    manifest = release.manifest
    basis = basis_for(manifest)
    names = tuple(column.name for column in manifest.signature.columns)
    if not names:
        raise Invalid(
            f"{manifest.model} {manifest.version}: takes tensors that are no table; a prior is "
            "fitted from rows of a table"
        )
    rows = sampled_rows(folder / jobs.ROWS, UnitColumns(names, job.label, job.unit, job.cohort))
    made = answered(release, rows.data, basis)
    usable, said = _usable(made)
    fit = _fit(made, rows, usable, job, _before(folder))
    settings = with_half_lives(fit.settings, job.half_life_labels, job.half_life_days)
    prior = PersonalPrior(
        model=manifest.model, version=manifest.version, manifest=release.digest,
        generation=1, basis=basis, helps=fit.verdict.helps, settings=settings,
        labels=_labels(manifest, fit), classes=fit.classes, number=fit.number,
        attribute=job.cohort if rows.cohorts is not None else None,
    )  # fmt: skip
    result = FitResult(
        "", int(usable.sum()), rows.rows, rows.unit_count, fit.verdict.gain, fit.verdict.p,
        fit.verdict.why, (*rows.said, *said),
    )  # fmt: skip
    return prior, result


def _usable(made: AnsweredRows) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return which rows [N] can be fitted to, and in sentences what cannot."""
    finite = np.isfinite(made.phi).all(axis=1)
    known = made.truth >= 0 if made.scores.ndim > 1 else np.isfinite(made.truth)
    said = []
    if not finite.all():
        said.append(f"{int((~finite).sum()):,} rows miss a feature and were left out")
    if not known.all():
        said.append(
            f"{int((~known).sum()):,} rows have no label, or one that the model does not give"
        )
    return finite & known, tuple(said)


def _fit(
    made: AnsweredRows,
    rows: SampledRows,
    usable: np.ndarray,
    job: FitJob,
    before: PersonalPrior | None,
) -> FittedPrior:
    units = rows.units[usable].tolist()
    if len(set(units)) < 2:
        raise Invalid(f"{job.unit}: expected rows of two units or more that can be used, got one")
    cohorts = None if rows.cohorts is None else [str(name) for name in rows.cohorts[usable]]
    settings = with_half_lives(PersonalSettings(), job.half_life_labels, job.half_life_days)
    scores, truth = made.scores[usable], made.truth[usable]
    if made.scores.ndim == 1:
        number = None if before is None else before.number
        return fit_numbers(
            scores, truth, units=units, cohorts=cohorts, settings=settings, before=number
        )
    classes = None if before is None else before.classes
    return fit_classes(
        made.phi[usable], truth, scores, units=units, cohorts=cohorts, settings=settings,
        before=classes,
    )  # fmt: skip


def _labels(manifest: Manifest, fit: FittedPrior) -> tuple[str | int, ...]:
    return manifest.signature.classes if fit.classes is not None else ()


def _before(folder: Path) -> PersonalPrior | None:
    path = folder / jobs.BEFORE
    return PersonalPrior.from_bytes(path.read_bytes()) if path.exists() else None


if __name__ == "__main__":
    sys.exit(main(Path.cwd()))
