"""One version with its certificate and card, and two side by side."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import Query, Request, Response

from cloud_hub.api.auth import hub_of
from cloud_hub.api.dependencies import KnownModel, KnownVersion
from cloud_hub.pages.models.card import CardBlock, blocks
from cloud_hub.pages.models.home import render
from cloud_hub.pages.models.impact import has_refused
from cloud_hub.pages.models.lineage import TONES, roles_of
from cloud_hub.web.access import Viewer
from cloud_hub.web.frame import page_router
from edge_sdk.contract.manifest import CARD

if TYPE_CHECKING:
    from cloud_hub.hub import Hub
    from cloud_hub.registry.release_report import ReleaseReport
    from cloud_hub.registry.service import VersionRecord
    from edge_sdk.model.release import Release

router = page_router()
OTHERS: Final = 200
"""Versions, the newest, that another one can be compared with."""

VersionName = Annotated[str, Query(max_length=100)]


@dataclass(frozen=True)
class ComparedRow:
    """One line of two versions side by side; ``change`` is the second minus the first."""

    name: str
    before: str | float | None
    after: str | float | None
    change: float | None = None

    @property
    def same(self) -> bool:
        """Whether both have the same."""
        return self.before == self.after

    def tone(self, good: str) -> str:
        """Return the tone of the change.

        Args:
            good: whether ``more`` of it is better, or ``less``; empty where neither is.
        """
        if not good or not self.change:
            return "quiet"
        return "good" if (self.change > 0) == (good == "more") else "bad"


@router.get("/models/{model}/versions/{version}")
def version_page(
    request: Request, user: Viewer, model: KnownModel, version: KnownVersion
) -> Response:
    """Show a version."""
    hub = hub_of(request)
    report, release = hub.registry.report(model, version), hub.registry.release(model, version)
    devices = [each for each in hub.fleet.participants(model) if each.standing == "active"]
    plan = hub.plans.current(model)
    return render(
        request, user, "version.html", model=model, tab="", title=version, r=report,
        v=report.version, certificate=release.certificate(), manifest=release.manifest,
        card=card_of(release), tones=TONES, now=time.time(), plan=plan,
        names=hub.aliases.names(model).of(version), of=version,
        role=roles_of(plan).get(version, ""), mark=hub.rush.marks(model).get(version),
        on=sum(each.version == version for each in devices), devices=len(devices),
        refused=sum(has_refused(each, release.digest) for each in devices),
        children=hub.registry.children(model, version),
        others=_others(hub, model, version),
    )  # fmt: skip


@router.get("/models/{model}/compare")
def compare(
    request: Request, user: Viewer, model: KnownModel, before: VersionName, after: VersionName
) -> Response:
    """Show two versions side by side."""
    hub = hub_of(request)
    registry = hub.registry
    before, after = (hub.aliases.resolve(model, word) for word in (before, after))
    first, second = registry.report(model, before), registry.report(model, after)
    return render(
        request, user, "compare.html", model=model, tab="", title=f"{before} and {after}",
        rows=compared(first, second), metrics=compared_metrics(first.version, second.version),
        before=before, after=after,
        others=[each.version for each in registry.page(model, OTHERS)],
    )  # fmt: skip


def _others(hub: Hub, model: str, version: str) -> list[str]:
    """Return what a version can be compared with, newest first."""
    names = [each.version for each in hub.registry.page(model, OTHERS)]
    return [name for name in names[::-1] if name != version]


def card_of(release: Release) -> list[CardBlock]:
    """Return the model card of a release; nothing where it has none."""
    if CARD not in release.manifest.files:
        return []
    try:
        text = (release.folder / CARD).read_text(errors="replace")
    except OSError:  # the release is answered without it
        return []
    return blocks(text)


def compared(first: ReleaseReport, second: ReleaseReport) -> list[ComparedRow]:
    """Return what two releases say of themselves, line by line."""
    pairs = zip(_facts(first), _facts(second), strict=True)
    return [_row(name, before, after) for (name, before), (_, after) in pairs]


def compared_metrics(first: VersionRecord, second: VersionRecord) -> list[ComparedRow]:
    """Return the metrics of two versions, as their trainings reported them."""
    names = sorted({*first.metrics, *second.metrics})
    return [_row(name, first.metrics.get(name), second.metrics.get(name)) for name in names]


def _facts(report: ReleaseReport) -> Iterator[tuple[str, str | float | None]]:
    record, chosen = report.version, report.variants[0]
    yield "status", record.status.replace("_", " ")
    yield "parent", record.parent
    yield "training", record.mode
    yield "rows", record.rows
    yield "published by", record.actor
    yield "task", report.task
    yield "licence", report.licence
    yield "variant", chosen.name
    yield "numbers stored as", chosen.precision
    yield "bytes", chosen.bytes
    yield "score", chosen.score
    yield "score_bound", chosen.score_bound
    yield "label_flips", chosen.label_flips
    yield "row_us", chosen.row_us
    yield "variants", ", ".join(each.name for each in report.variants)


def _row(name: str, before: str | float | None, after: str | float | None) -> ComparedRow:
    both = isinstance(before, int | float) and isinstance(after, int | float)
    return ComparedRow(name, before, after, after - before if both else None)  # type: ignore[operator]
