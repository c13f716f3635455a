"""Opening of a personal prior on the device's disk: whole, and of the release that serves.

Its file is read once, as it is opened. So what the disk does to it later harms no answer, but is
found by the scrub and mended before the next start.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from edge_sdk.contract.personal.prior import PersonalPrior
from edge_sdk.errors import ContractError, PackError, reason_of
from edge_sdk.personalise.basis import sizes_of

if TYPE_CHECKING:
    from pathlib import Path

    from edge_sdk.model.release import Release


class DamagedPrior(PackError):
    """The file is missing, or not the one that was signed: another download mends that."""


def open_prior(path: Path, release: Release, sha256: str | None = None) -> PersonalPrior:
    """Return the personal prior at ``path``.

    Args:
        path: of the file.
        release: that it must be for.
        sha256: that the file must have; ``None``: any.

    Raises:
        DamagedPrior: the file cannot be read, or is another.
        PackError: it is no prior, or one for another release.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DamagedPrior(f"{path}: cannot open the personal prior; {reason_of(error)}") from error
    if sha256 is not None and hashlib.sha256(raw).hexdigest() != sha256:
        raise DamagedPrior(f"{path}: its content is damaged (SHA-256 differs)")
    try:
        prior = PersonalPrior.from_bytes(raw)
    except ContractError as error:
        raise PackError(f"{path}: expected a personal prior; {error}") from error
    check_prior(prior, release)
    return prior


def check_prior(prior: PersonalPrior, release: Release) -> None:
    """Refuse a prior that was made for another release.

    Raises:
        PackError: it was.
    """
    manifest = release.manifest
    if prior.manifest != release.digest or prior.model != manifest.model:
        raise PackError(
            f"the personal prior is for {prior.model} {prior.version} (manifest "
            f"{prior.manifest:.12}), and {manifest.model} {manifest.version} (manifest "
            f"{release.digest:.12}) serves; fit one for it"
        )
    if prior.labels != manifest.signature.classes:
        raise PackError(
            f"the personal prior of {prior.model} {prior.version} has the classes "
            f"{list(prior.labels)!r:.60}, the release {list(manifest.signature.classes)!r:.60}"
        )
    size = 0 if prior.classes is None else prior.classes.projection.shape[1]
    sizes = sizes_of(manifest)
    if sizes.get(prior.basis) != size:
        can = ", ".join(f"{basis} of {n}" for basis, n in sizes.items()) or "none"
        raise PackError(
            f"the personal prior of {prior.model} {prior.version} tells units apart by "
            f"{prior.basis} of {size} numbers, the release can give {can}; fit one for it"
        )
