"""A device's link with its hub: state on disk, trust, updates and syncs, wired together."""

from __future__ import annotations

import platform
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_sdk.contract.fleet import CheckIn, check_attributes
from edge_sdk.contract.messages import Body, UpdateEvent, WindowReport
from edge_sdk.contract.plan import Plan, ReleaseRef
from edge_sdk.errors import ContractError, EdgeError, StateError
from edge_sdk.experiments.crash_marker import CrashMarker
from edge_sdk.fleet.enrolment import enrol, hub_of
from edge_sdk.fleet.identity import Identity
from edge_sdk.fleet.local_events import LocalEvents
from edge_sdk.hub.client import HubClient
from edge_sdk.hub.outbox import Outbox
from edge_sdk.model.options import RuntimeOptions
from edge_sdk.state_db import StateDatabase
from edge_sdk.system.windows import parse_windows
from edge_sdk.update.admission import window_state
from edge_sdk.update.entity_packs import STEP, EntityPacks, PackHolder
from edge_sdk.update.gatekeeper import UpdateHooks
from edge_sdk.update.probe import first_that_works
from edge_sdk.update.slots import Slot, Slots
from edge_sdk.update.state import SlotRef
from edge_sdk.update.syncer import Syncer
from edge_sdk.update.targets import (
    CurrentAssignment,
    DesiredState,
    current_assignment,
    desired_state,
)
from edge_sdk.update.trust import Trust
from edge_sdk.update.updater import Updater

if TYPE_CHECKING:
    from edge_sdk.config import DeviceConfig
    from edge_sdk.packs.entity_predictions import EntityPredictions
    from edge_sdk.update.admission import OnUpdate


@dataclass(frozen=True)
class Enrolment:
    """The way to reach and join a hub; see :class:`edge_sdk.EdgeDevice`."""

    state: str | Path
    hub: str
    model: str | None = None
    token: str | None = None
    attributes: Mapping[str, str] | None = None
    root: bytes | None = None
    share: bool = False
    verify: bool | str = True
    serial: str | None = None


class FleetLink:
    """Everything of a device that needs its state folder or its hub.

    Args:
        how: to reach and join the hub.
        config: limits and intervals.
        activate: makes a slot serve; raises :class:`EdgeError`.
        on_plan: called after every plan that was fetched.
        use_entities: answers entities from a pack from now on, or from none.
        clock: Unix seconds.
        on_update: the application's word on each update.
        metered: says whether the network costs by the byte.
    """

    def __init__(
        self,
        how: Enrolment,
        config: DeviceConfig,
        activate: Callable[[Slot], None],
        on_plan: Callable[[], None],
        use_entities: Callable[[EntityPredictions | None], None],
        clock: Callable[[], float],
        on_update: OnUpdate | None = None,
        metered: Callable[[], bool] | None = None,
    ) -> None:
        hooks = UpdateHooks(on_update, metered)
        self.boot = secrets.token_hex(4)
        self.share = how.share
        self._on_plan = on_plan
        self._use_entities = use_entities
        self._clock = clock
        self.events = LocalEvents(clock)
        attributes = {} if how.attributes is None else how.attributes
        check_attributes(attributes)
        self.attributes = dict(attributes)
        self.client = HubClient(
            how.hub,
            timeout=config.request_seconds,
            conversation=config.conversation_seconds,
            verify=how.verify,
            bytes_per_second=config.bytes_per_second,
        )
        self.store = StateDatabase(how.state)
        try:
            self.crash_marker = CrashMarker(self.store.folder / "running.mark")
            self._wire(how, config, activate, clock, hooks)
        except BaseException:
            self.store.close()
            raise

    def _wire(
        self,
        how: Enrolment,
        config: DeviceConfig,
        activate: Callable[[Slot], None],
        clock: Callable[[], float],
        hooks: UpdateHooks,
    ) -> None:
        self.identity: Identity = enrol(
            self.store,
            self.client,
            model=how.model,
            token=how.token,
            attributes=self.attributes,
            root=how.root,
            serial=how.serial,
        )
        # What the hub fixed is what the plan is evaluated with, there and here.
        self.attributes |= self.identity.attributes
        if hub_of(self.store) != how.hub:
            self.store.put("hub", how.hub)
        told = self.events.of_message
        self.outbox = Outbox(self.store, self.boot, config.outbox_bytes, told)
        self._windows = parse_windows(config.update_windows)
        options = RuntimeOptions.of(config)
        trust = Trust(self.store, self.client, self.identity.model, self.identity.root, clock)
        slots = Slots(self.store.folder, lambda: self.store.on_disk, options.providers)
        self.updater = Updater(
            self.identity.model, self.store, self.outbox, slots, trust, self.client,
            probe=lambda slot: _probe(slot, options), activate=activate, clock=clock,
            config=config, hooks=hooks,
        )  # fmt: skip
        self.syncer = Syncer(
            self.store, self.outbox, self.client, trust, describe=self.describe,
            follow=self.follow, entities=lambda: self.entities.follow(trust.entities()),
            heartbeat=config.heartbeat_seconds, clock=clock,
        )  # fmt: skip
        self.entities = EntityPacks(
            PackHolder(self.identity.model, self.identity.device, self.attributes),
            self.store.folder, self.store, self.client, left=config.free_bytes,
            use=self._use_entities, refusal=self.updater.download_refusal, told=self._report,
        )  # fmt: skip
        self.plan = self._stored_plan()

    def _report(self, reason: str) -> None:
        """Tell the hub why answers by entity did not come."""
        current = self.updater.state.current
        if current is not None:
            at = int(self._clock())
            event = UpdateEvent(
                self.identity.model,
                "fell_back",
                current.version,
                at,
                step=STEP,
                reason=reason[:500],
            )
            self.outbox.put([event])

    def desired_state(self, plan: Plan) -> DesiredState:
        """Return what ``plan`` wants of this device, without what failed on it."""
        experiment = plan.experiment.id if plan.experiment is not None else None
        updater = self.updater

        def has_failed(release: ReleaseRef) -> bool:
            return updater.failed.includes(SlotRef.of(release), plan.serial, experiment)

        entered = experiment is not None and updater.state.entered == experiment
        device = self.identity.device
        return desired_state(plan, device, self.attributes, entered=entered, failed=has_failed)

    def current_assignment(self) -> CurrentAssignment:
        """Return the arm as which this device answers now, and what runs beside it."""
        plan = self.plan
        if plan is None:
            return CurrentAssignment()
        return current_assignment(plan, self.desired_state(plan), self.updater.state)

    def follow(self, plan: Plan) -> str:
        """Make a verified plan take effect, and return what that came to.

        Raises:
            EdgeError: a step of an update failed.
        """
        self.plan = plan
        self.store.put("plan", plan.to_json().decode())
        try:
            if not self.store.on_disk:
                # A step's state would not be on the disk before the step.
                raise StateError(
                    f"{self.store.folder}: no update while the disk takes nothing "
                    f"({self.store.health()['reason']}); make room or mount it writable"
                )
            return self.updater.apply(self.desired_state(plan), serial=plan.serial)
        finally:
            self._on_plan()  # whatever came of it, what the plan says of reporting holds

    def describe(self) -> CheckIn:
        """Return the check-in of this device as things stand."""
        state = self.updater.state
        return CheckIn(
            model=self.identity.model,
            version=state.current.version if state.current else None,
            plan=self.plan.serial if self.plan else 0,
            attributes=self.attributes,
            pack=state.current.pack if state.current else None,
            features=state.current.features if state.current else None,
            phase=state.phase,
            failed=tuple(release for release, _ in self.updater.failed.all())[-20:],
            holds=tuple(ref.version for ref in state.held if ref != state.current),
            waiting=self.outbox.waiting(),
            sharing=self.share,
            software={"edge_sdk": _version(), "python": platform.python_version()},
        )

    def status(self) -> dict[str, Any]:
        """Return how device and hub get along, as plain values."""
        checkin = self.describe()
        credentials = self.client.credentials
        refusal = credentials.refusal if credentials is not None else None
        return {
            "device": self.identity.device,
            "standing": credentials.standing if credentials is not None else None,
            "refused": str(refusal) if refusal is not None else None,
            "hub": self.client.url,
            "hub_answered": self.syncer.answered,
            "hub_away": self.syncer.away,
            "window": window_state(self._windows, self._clock()),
            "plan": checkin.plan,
            "phase": checkin.phase,
            "update_waits": self.updater.waiting,
            "waiting": checkin.waiting,
            "sharing": self.share,
            "rejected": self.store.get("last_rejection"),
            "failures": dict(self.updater.failed.all()),
            "entities": self.entities.status(),
            "storage": self.store.health(),
        }

    def keep(self, bodies: list[Body]) -> None:
        """Put messages into the outbox, all or none; with them what it dropped before."""
        with self.store.transaction():
            if isinstance(bodies[0], WindowReport):
                lost = self.outbox.take_lost()
                lost.update(bodies[0].lost)
                bodies[0] = replace(bodies[0], lost=dict(lost))
            self.outbox.put(bodies)

    def hand_over(self, seconds: float) -> None:
        """Send what waits, as far as one request goes; the rest waits for the next start.

        Args:
            seconds: that it may take.
        """
        # On a thread of its own: nothing ends a look-up of the hub's name.
        worker = threading.Thread(target=self._hand_over, args=(seconds,), daemon=True)
        worker.start()
        worker.join(seconds)

    def _hand_over(self, seconds: float) -> None:
        try:
            with self.client.conversation(seconds, final=True):
                upload = self.outbox.batch()
                if upload is not None:
                    self.outbox.settle(upload, self.client.upload(upload))
        except EdgeError:
            return

    def _stored_plan(self) -> Plan | None:
        text = self.store.get("plan")
        try:
            return Plan.from_json(text.encode()) if text else None
        except ContractError:
            return None  # of another format version; the next refresh brings one that fits


def _probe(slot: Slot, options: RuntimeOptions) -> str | None:
    """Note which variant of ``slot`` works here; return why the first does not, if so."""
    # Every byte was read one step before; what the probe loads is checked once more as it is read.
    works, reason = first_that_works(slot.opened(), slot.pack, slot.features, options=options)
    name = works.variant.name
    slot.use(None if reason is None else name)
    return None if reason is None else f"variant {name} is used; {reason}"


def _version() -> str:
    try:
        return version("edge-deployment-sdk-core")
    except PackageNotFoundError:
        return "unknown"
