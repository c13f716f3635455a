"""A change of the plan counted in devices, before anybody confirms it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cloud_hub.experiments.schedule import arms_of
from cloud_hub.fleet.health import lost_after
from edge_sdk.contract.names import CONTROL

if TYPE_CHECKING:
    from cloud_hub.database.records import DeviceRecord
    from edge_sdk.contract.plan import Experiment, Plan


@dataclass(frozen=True)
class Impact:
    """Devices that a change reaches.

    Attributes:
        devices: that take part, of this model.
        change: of those, how many will serve another version than now.
        stay: how many serve it already.
        by_version: what those that change serve now, most frequent first; ``none yet`` for those
            that serve nothing.
        lost: of those that change, how many were not heard of for so long that nobody expects
            them; they follow when they come back.
        refused: on how many the release failed before; they are not offered it again by the
            same plan.
        waiting: devices that take no part: not approved yet, revoked or cloned.
    """

    devices: int
    change: int
    stay: int
    by_version: tuple[tuple[str, int], ...]
    lost: int
    refused: int
    waiting: int


@dataclass(frozen=True)
class TrialImpact:
    """Devices of the first step of an experiment.

    Attributes:
        tried: devices that get a candidate, or run it beside what serves.
        control: devices that are compared with them.
        outside: devices that take no part in it, for now.
        lost: of those that are tried on, how many nobody expects back.
        refused: of those, on how many the release failed before.
        steps: shares of the fleet or the cohort that follow, for people.
    """

    tried: int
    control: int
    outside: int
    lost: int
    refused: int
    steps: tuple[str, ...]


def promotion_impact(
    records: Sequence[DeviceRecord], version: str, digest: str, now: float
) -> Impact:
    """Count what a version that serves everybody changes.

    Args:
        records: devices of the model.
        version: that is to serve.
        digest: SHA-256 of its manifest, by which devices name what failed on them.
        now: Unix seconds.
    """
    active = _active(records)
    changing = [record for record in active if record.version != version]
    before = Counter(record.version or "none yet" for record in changing)
    return Impact(
        devices=len(active),
        change=len(changing),
        stay=len(active) - len(changing),
        by_version=tuple(before.most_common()),
        lost=_lost(changing, now),
        refused=sum(has_refused(record, digest) for record in active),
        waiting=len(records) - len(active),
    )


def trial_impact(
    records: Sequence[DeviceRecord],
    plan: Plan,
    trial: Experiment,
    now: float,
    steps: Iterable[str] = (),
) -> TrialImpact:
    """Count on whom an experiment begins.

    Args:
        records: devices of the model.
        plan: in force.
        trial: the experiment as its first plan will name it.
        now: Unix seconds.
        steps: what follows, for people.
    """
    changed = replace(plan, experiment=trial)
    tried, control, outside = [], 0, 0
    for record in _active(records):
        arms = arms_of(changed, record.device, record.attributes)
        if any(arm != CONTROL for arm in arms):
            tried.append(record)
        elif arms:
            control += 1
        else:
            outside += 1
    digests = [arm.release.manifest for arm in trial.arms]
    refused = sum(any(has_refused(record, digest) for digest in digests) for record in tried)
    return TrialImpact(len(tried), control, outside, _lost(tried, now), refused, tuple(steps))


def has_refused(record: DeviceRecord, digest: str) -> bool:
    """Return whether a release failed on a device.

    Args:
        record: of the device.
        digest: SHA-256 of the release's manifest.
    """
    # A device names a slot: the SHA-256 of the manifest, then those of its packs.
    return any(name.startswith(digest) for name in record.failed)


def _active(records: Iterable[DeviceRecord]) -> list[DeviceRecord]:
    return [record for record in records if record.standing == "active"]


def _lost(records: Iterable[DeviceRecord], now: float) -> int:
    return sum(now - record.seen_at > lost_after(record.interval) for record in records)
