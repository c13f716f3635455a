"""What a device without a hub serves: a release, its packs, and perhaps a second release."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edge_sdk.contract.serving_terms import Reporting
from edge_sdk.errors import InputError, StateError
from edge_sdk.serving.opening import OfflineFiles, opened_release
from edge_sdk.serving.terms import ServingTerms

if TYPE_CHECKING:
    from edge_sdk.config import DeviceConfig
    from edge_sdk.fleet.active_releases import ActiveReleases

OFFLINE: Final = ServingTerms(reporting=Reporting(votes=0))
"""Terms of the release on a device without a hub: nobody collects votes for frequent inputs."""


def offline_terms(reporting: Any = None) -> ServingTerms:
    """Return the terms of the release on a device without a hub.

    Args:
        reporting: windows and limits, a :class:`Reporting`; ``None`` for those of :data:`OFFLINE`.

    Raises:
        InputError: it is none.
    """
    if reporting is None:
        return OFFLINE
    if not isinstance(reporting, Reporting):
        raise InputError("opening", f"reporting: expected Reporting(…), got {reporting!r:.60}")
    return replace(OFFLINE, reporting=replace(reporting, votes=0))


def check_one_experiment(files: OfflineFiles) -> None:
    """Refuse two experiments at once; raises :class:`StateError`."""
    if files.shadow is not None and files.interleave is not None:
        raise StateError(
            "expected a shadow or an interleaved release, got both: one experiment at a time"
        )


def serve_offline(
    service: ActiveReleases,
    folder: str | Path,
    files: OfflineFiles,
    terms: ServingTerms,
    config: DeviceConfig,
) -> None:
    """Open everything and let it answer.

    Args:
        service: that answers.
        folder: of the release.
        files: beside it.
        terms: under which it serves.
        config: limits.

    Raises:
        ReleaseError: a release is not complete or does not run here.
        PackError: a pack is for another release, damaged or expired.
    """
    release = opened_release(folder, config)
    pack, features, entities = files.opened(release)
    serving = service.open(release, terms, pack=pack, features=features)
    service.serve(serving)
    service.use_entities(entities)
    candidate = ServingTerms("offline", "candidate", terms.reporting)
    if files.shadow is not None:
        service.run(service.shadow(opened_release(files.shadow, config), candidate))
    if files.interleave is not None:
        from edge_sdk.experiments.interleaving import Interleaver

        second = service.open(opened_release(files.interleave, config), candidate)
        service.run(Interleaver(candidate.arm, serving, second, clock=service.clock))
