"""The releases that are worth having as patches, and of which bases. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from edge_sdk.contract.plan import PackRef, Plan, ReleaseRef

BASES: Final = 4
"""Versions from which differences to one release are made: those that most devices hold."""

GONE: Final = ("retired", "rolled_back")


@dataclass(frozen=True)
class WantedForms:
    """A release to make forms of: without a base, and of each of ``bases``, versions too."""

    version: str
    bases: tuple[str, ...]


def wanted_forms(
    plan: Plan | None, published: Iterable[tuple[str, str]], held: Mapping[str, int]
) -> list[WantedForms]:
    """Return the releases that devices are to have, or are likely to be told of next.

    Args:
        plan: in force; ``None`` before the first.
        published: (version, status) of every version, oldest first.
        held: devices by the version that they hold.
    """
    versions = list(published)
    there = {version for version, _ in versions}
    offered = [version for version, status in versions if status not in GONE]
    # What serves is what a device has which has not checked in since its update.
    serving = [plan.serving.version] if plan is not None else []
    most = sorted((v for v in held if v in there), key=lambda v: (-held[v], v))
    # A release is published before a plan names it: its forms are then there in time.
    targets = [*(r.version for r in releases_of(plan)), *offered[-1:]]
    bases = list(dict.fromkeys((*serving, *most)))
    return [
        WantedForms(version, tuple(b for b in bases if b != version)[:BASES])
        for version in dict.fromkeys(targets)
        if version in there
    ]


def releases_of(plan: Plan | None) -> list[ReleaseRef]:
    """Return the releases that a plan names, what serves first."""
    if plan is None:
        return []
    arms = plan.experiment.arms if plan.experiment is not None else ()
    return [plan.serving, *(arm.release for arm in arms)]


def packs_of(plan: Plan | None) -> list[PackRef]:
    """Return the packs that a plan names."""
    return list({pack.file.sha256: pack for r in releases_of(plan) for pack in r.packs}.values())
