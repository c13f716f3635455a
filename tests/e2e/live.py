"""Plans with experiments at a real hub, signed by its own keys, and what a device says of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from cloud_hub.registry.repository import Repository
from edge_sdk import EdgeDevice
from edge_sdk.config import DeviceConfig
from edge_sdk.contract.codec import from_plain
from edge_sdk.contract.messages import Body
from edge_sdk.contract.plan import SLOTS, Arm, Experiment, Plan, ReleaseRef
from edge_sdk.model.release import Release
from tests.clock import Clock
from tests.servers import HubProcess
from tests.waiting import PATIENCE, wait_for

EVERYBODY = ((0, SLOTS),)
PATIENT = DeviceConfig(request_seconds=PATIENCE, conversation_seconds=PATIENCE)
ALONE = replace(PATIENT, fold_seconds=0.01, sync_seconds=3_600.0)


def publish_plan(hub: HubProcess, model: str, **changes: Any) -> Plan:
    """The hub's newest plan with ``changes`` and a serial that is new."""
    repository = Repository(hub.data / "repository", hub.data / "keys")
    plan = from_plain(Plan, hub.admin.get(f"models/{model}/plan"))
    known = getattr(hub, "serials", {})
    serial = max(plan.serial, known.get(model, 0)) + 1
    hub.serials = {**known, model: serial}  # type: ignore[attr-defined]
    changed = replace(plan, serial=serial, **changes)
    repository.publish_plan(changed)
    return changed


def ended(hub: HubProcess, model: str, answer: Callable[[], None]) -> dict[str, Any]:
    """The one experiment of a model, once it is over; devices ``answer`` until then."""

    def over() -> bool:
        answer()
        (trial,) = hub.admin.get(f"models/{model}/experiments")
        return trial["status"] not in ("running", "waiting")

    wait_for(over, "the end of the experiment")
    (trial,) = hub.admin.get(f"models/{model}/experiments")
    return dict(trial)


def ref(release: Release) -> ReleaseRef:
    return ReleaseRef(release.manifest.version, release.digest)


def trial(strategy: str, *candidates: Release, slots: Any = EVERYBODY, **more: Any) -> Experiment:
    """``candidates`` are arms ``b``, ``c``, ...; a single one owns ``slots``, several a quarter."""
    quarters = [((i * 2_500, i * 2_500 + 2_500),) for i in range(3)]
    owned = [slots] if len(candidates) == 1 and strategy != "ab" else quarters
    arms = tuple(
        Arm(name, ref(release), own)
        for name, release, own in zip("bcd", candidates, owned, strict=False)
    )
    return Experiment(f"{strategy}-1", strategy, "salt", arms, **more)  # type: ignore[arg-type]


def opened(state: Path, hub: HubProcess, model: str, **more: Any) -> EdgeDevice:
    options = {"config": ALONE, "background": False, "hub": hub.url, "clock": Clock()} | more
    return EdgeDevice(state, token=hub.token(model), model=model, **options)


def told(device: EdgeDevice, cls: type) -> list[Any]:
    """What the device has to tell of one kind, all windows closed."""
    assert device._link is not None
    device._service.collect(final=True)
    upload = device._link.outbox.batch()
    bodies: list[Body] = [m.open() for m in upload.messages] if upload is not None else []
    return [body for body in bodies if isinstance(body, cls)]
