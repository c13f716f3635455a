"""What a model is: its versions, what serves where, and what was decided."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fastapi import Request, Response

from cloud_hub.api.auth import hub_of
from cloud_hub.api.dependencies import KnownModel
from cloud_hub.experiments.record import OPEN
from cloud_hub.pages.models.home import PAGES, render
from cloud_hub.pages.models.lineage import TONES, LineageRow, roles_of, tree
from cloud_hub.web.access import Viewer
from cloud_hub.web.frame import page_router

if TYPE_CHECKING:
    from cloud_hub.database.audit import AuditEntry
    from cloud_hub.database.records import DeviceRecord
    from cloud_hub.experiments.record import ExperimentRecord
    from cloud_hub.hub import Hub
    from cloud_hub.registry.service import VersionRecord
    from edge_sdk.contract.plan import Plan

router = page_router()

SHOWN: Final = 60
"""Versions on one page, the newest."""

DECISIONS: Final = 10
COLOURS: Final = 5
"""Versions with a colour of their own in the picture of what serves where."""


@dataclass(frozen=True)
class VersionLine:
    """A version with the ``devices`` that serve it, and the ``role`` that the plan gives it:
    ``serves``, ``tried`` or none.
    """

    row: LineageRow
    devices: int
    role: str

    @property
    def tone(self) -> str:
        """Tone of its status."""
        return TONES.get(self.row.record.status, "quiet")


@dataclass(frozen=True)
class ModelSummary:
    """A model in the list of all."""

    model: str
    serving: str | None
    versions: int
    devices: int
    alarms: int
    experiment: ExperimentRecord | None


@router.get("/models")
def models(request: Request, user: Viewer) -> Response:
    """Show all models."""
    hub = hub_of(request)
    devices = Counter(record.model for record in hub.fleet.devices())
    rows = [
        _summary(hub, name, devices[name])
        for name in hub.registry.models()
        if user.may("viewer", name)
    ]
    return PAGES.render(request, user, "models.html", title="Models", nav="models", rows=rows)


@router.get("/models/{model}")
def model_page(request: Request, user: Viewer, model: KnownModel) -> Response:
    """Show a model."""
    hub = hub_of(request)
    plan, shown = hub.plans.current(model), hub.registry.page(model, SHOWN)
    named = hub.aliases.names(model)
    devices = [each for each in hub.fleet.participants(model) if each.standing == "active"]
    return render(
        request, user, "model.html", model=model, tab="", title="Versions", plan=plan,
        lines=lines(shown, devices, plan), now=time.time(),
        more=hub.registry.count(model) - len(shown),
        names=named.model, named=named, of="",
        parts=spread(devices), devices=len(devices), alarms=hub.monitoring.alarms(model),
        on=sum(plan is not None and each.version == plan.serving.version for each in devices),
        experiment=_running(hub, model), decisions=_decisions(hub, model),
        requests=[each for each in hub.approvals.list(model) if each.state == "pending"],
        published=plan is None or hub.repository.has_plan(plan),
        behind=sum(plan is not None and each.plan < plan.serial for each in devices),
    )  # fmt: skip


def lines(
    records: Sequence[VersionRecord], devices: Sequence[DeviceRecord], plan: Plan | None
) -> list[VersionLine]:
    """Return versions as a tree, with what serves where.

    Args:
        records: of one model, oldest first.
        devices: that take part.
        plan: in force.
    """
    on = Counter(device.version for device in devices)
    roles = roles_of(plan)
    return [
        VersionLine(row, on[row.record.version], roles.get(row.record.version, ""))
        for row in tree(records)
    ]


def spread(devices: Sequence[DeviceRecord]) -> list[tuple[float, str, str]]:
    """Return (share of the devices, colour, words) by version, the most frequent first."""
    counts = Counter(device.version or "none yet" for device in devices).most_common()
    shown = [
        (count / len(devices), f"s{i}", f"{version}: {count:,}")
        for i, (version, count) in enumerate(counts[:COLOURS])
    ]
    rest = sum(count for _, count in counts[COLOURS:])
    if rest:
        others = f"{len(counts) - COLOURS} other versions: {rest:,}"
        shown.append((rest / len(devices), f"s{COLOURS}", others))
    return shown


def _summary(hub: Hub, model: str, devices: int) -> ModelSummary:
    return ModelSummary(
        model,
        hub.monitoring.serving(model),
        hub.registry.count(model),
        devices,
        len(hub.monitoring.alarms(model)),
        _running(hub, model),
    )


def _running(hub: Hub, model: str) -> ExperimentRecord | None:
    found = [record for record in hub.experiments.records(model) if record.status in OPEN]
    return found[-1] if found else None


def _decisions(hub: Hub, model: str) -> list[AuditEntry]:
    """Return the newest changes of the plan, newest first."""
    return hub.audit.entries(model, DECISIONS, action="plan")[::-1]
