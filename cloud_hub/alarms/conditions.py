"""What is wrong with a hub or its fleet, with the evidence and what to do. Pure.

A condition holds or it does not; an alarm (:mod:`cloud_hub.alarms.service`) opens where one holds
for long enough, and closes by itself where it is gone for long enough.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cloud_hub.database.event_kinds import Severity
from cloud_hub.policy.schema.alarms import AlarmPolicy
from cloud_hub.settings import AlarmSettings

if TYPE_CHECKING:
    from cloud_hub.observability.checks import HealthCheck


@dataclass(frozen=True)
class HubCondition:
    """Something that is wrong.

    Attributes:
        key: names it; at most one alarm of a key is open.
        kind: such as ``disk`` or ``devices_lost``.
        severity: of it.
        says: how it is, a sentence.
        todo: what to do.
        model: that it concerns, ``None`` for the hub as a whole.
        version: of that model.
        evidence: plain JSON.
    """

    key: str
    kind: str
    severity: Severity
    says: str
    todo: str
    model: str | None = None
    version: str | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FleetCounts:
    """Active devices of one model.

    Attributes:
        model: name.
        devices: all of them.
        lost: not heard of for so long that nobody expects them back by themselves.
        version: that serves, ``None`` if none does.
        told: heard of since a plan was old enough for it to be followed.
        behind: of those, that follow an older plan.
        flagged: whose reports were refused as impossible within a day.
    """

    model: str
    devices: int
    lost: int = 0
    version: str | None = None
    told: int = 0
    behind: int = 0
    flagged: int = 0


@dataclass(frozen=True)
class WornRows:
    """Rows that the offline gate of a model has decided on ``uses`` times."""

    model: str
    slice: str
    uses: int


@dataclass(frozen=True)
class FailingDestination:
    """A destination of alerts that fails since a time in Unix seconds, or was switched off."""

    name: str
    since: float
    reason: str
    disabled: bool


def of_checks(checks: Iterable[HealthCheck], errors: Mapping[str, str]) -> Iterator[HubCondition]:
    """Yield what the checks of ``/readyz`` find, and parts of the loop that fail.

    Args:
        checks: as they stand.
        errors: of the loop's parts, by name.
    """
    for check in checks:
        if check.state == "ok" or (check.name == "loop" and errors):
            continue
        severity: Severity = "critical" if check.state == "fail" else "warning"
        yield HubCondition(f"hub:{check.name}", check.name, severity, check.says, check.todo)
    for part, error in sorted(errors.items()):
        yield HubCondition(
            f"loop:{part}", "loop", "critical", f"the loop's part {part} fails: {error:.300}",
            "the log has the traceback; the other parts go on, what this one does waits",
            evidence={"part": part},
        )  # fmt: skip


def of_fleet(counts: FleetCounts, limits: AlarmPolicy = AlarmPolicy()) -> Iterator[HubCondition]:
    """Yield what is wrong with the devices of a model.

    Args:
        counts: of them.
        limits: from where on it is an alarm.
    """
    model, version = counts.model, counts.version
    if counts.lost and counts.lost >= limits.lost_share * counts.devices:
        yield HubCondition(
            f"devices_lost:{model}", "devices_lost", "warning",
            f"{counts.lost} of {counts.devices} devices are lost",
            f"edge-hub devices list --model {model}; forget those that are gone for good",
            model, evidence={"lost": counts.lost, "devices": counts.devices},
        )  # fmt: skip
    if counts.behind and counts.behind >= limits.behind_share * counts.told:
        yield HubCondition(
            f"rollout_stuck:{model}", "rollout_stuck", "warning",
            f"{counts.behind} of {counts.told} devices that were heard of do not follow the plan",
            f"edge-hub devices list --model {model}: their phase and last failure say why; devices "
            "whose application puts updates off are among them",
            model, version, {"behind": counts.behind, "told": counts.told},
        )  # fmt: skip
    fewest = min(limits.rejected_devices, counts.devices)
    least = max(fewest, limits.rejected_share * counts.devices)
    if counts.flagged and counts.flagged >= least:
        yield HubCondition(
            f"reports_rejected:{model}", "reports_rejected", "warning",
            f"reports of {counts.flagged} of {counts.devices} devices were refused as impossible",
            f"edge-hub devices list --model {model} shows their flags; the usual cause are clocks",
            model, evidence={"flagged": counts.flagged, "devices": counts.devices},
        )  # fmt: skip


def of_rows(worn: WornRows, limits: AlarmPolicy = AlarmPolicy()) -> Iterator[HubCondition]:
    """Yield what is wrong with the rows that the offline gate judges by.

    Args:
        worn: rows, and how often it decided on them.
        limits: from where on it is an alarm.
    """
    if worn.uses >= limits.worn_uses:
        yield HubCondition(
            f"holdout_worn:{worn.model}:{worn.slice}", "holdout_worn", "warning",
            f"the gate has decided {worn.uses} times on the same {worn.slice} rows",
            "give the gate rows that no candidate was judged by: a new version of the dataset",
            worn.model, evidence={"uses": worn.uses, "slice": worn.slice},
        )  # fmt: skip


def of_destination(
    failing: FailingDestination, now: float, after: float = AlarmSettings().delivery_seconds
) -> Iterator[HubCondition]:
    """Yield that alerts do not arrive.

    Args:
        failing: destination.
        now: Unix seconds.
        after: seconds of failing that are no alarm yet.
    """
    if failing.disabled or now - failing.since >= after:
        what = "is switched off" if failing.disabled else "fails"
        yield HubCondition(
            f"delivery:{failing.name}", "delivery", "warning",
            f"the destination {failing.name} {what}: {failing.reason}",
            f"edge-hub alerts test {failing.name}; then edge-hub alerts resume {failing.name}",
            evidence={"destination": failing.name},
        )  # fmt: skip
