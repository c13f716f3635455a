"""A run that is made once more: the same rows, the same code, and whether the same bytes came out.

Certificates, cards and bills of materials hold measured times, and are not compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloud_hub.policy.schema.rehearsal import RehearsalPolicy
from cloud_hub.runs import jobs
from cloud_hub.runs.results import RELEASE
from edge_sdk.contract.manifest import PROFILE
from edge_sdk.model.release import Release
from edge_sdk.system.files import sha256_file

if TYPE_CHECKING:
    from cloud_hub.runs.code.service import PipelineVersion
    from cloud_hub.runs.jobs import TrainingJob
    from edge_sdk.contract.manifest import Manifest


def rehearsal_of(parameters: Mapping[str, Any]) -> RehearsalPolicy:
    """Return how a run drew old rows, from its parameters."""
    return RehearsalPolicy(
        share=float(parameters.get("rehearsal.share", 0.0)),
        datasets=tuple(parameters.get("rehearsal.datasets", ("train",))),
        balanced=bool(parameters.get("rehearsal.balanced", False)),
    )


def repeated_job(
    job: TrainingJob, manifest: Manifest, code: PipelineVersion, *, in_place: bool
) -> TrainingJob:
    """Return a job that does once more what another one did.

    Args:
        job: of the run that is repeated.
        manifest: of the release that it made.
        code: version of its code.
        in_place: the code is what the policy names now; else its kept files are called.
    """
    # Which variant pays is measured, and may come out otherwise: the same one is made.
    return replace(
        job, begin="train", variants=tuple(variant.name for variant in manifest.variants),
        entry=code.entry, command=job.command if in_place else code.command,
        path=job.path if in_place else None,
    )  # fmt: skip


def compared_bytes(before: Path, after: Path) -> tuple[bool, str]:
    """Compare what two attempts made.

    Args:
        before: folder of the attempt that is repeated.
        after: folder of the repetition.

    Returns:
        Whether all bytes are the same, and which are or are not, in words.
    """
    one, other = _digests(before), _digests(after)
    differ = sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
    if differ:
        return False, f"other bytes: {', '.join(differ)}"
    return True, f"the same bytes: {', '.join(sorted(one))}"


def _digests(folder: Path) -> dict[str, str]:
    release = Release.open(folder / RELEASE).manifest
    files = {PROFILE, *(v.model for v in release.variants), *(v.golden for v in release.variants)}
    found = {name: ref.sha256 for name, ref in release.files.items() if name in files}
    for name in (jobs.MODEL, jobs.NEXT_STATE):
        if (folder / name).exists():
            found[name] = sha256_file(folder / name)
    return found
