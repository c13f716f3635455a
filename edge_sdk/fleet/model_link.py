"""One model of a device and its hub: plan, updates and answers by entity, wired together."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_sdk.contract.fleet import ReportedState
from edge_sdk.contract.limits import STATE_CHARACTERS
from edge_sdk.contract.messages import UpdateEvent
from edge_sdk.contract.plan import Plan, ReleaseRef
from edge_sdk.errors import ContractError, StateError
from edge_sdk.experiments.crash_marker import CrashMarker
from edge_sdk.model.options import RuntimeOptions
from edge_sdk.sessions.session_file import remove_sessions
from edge_sdk.system.files import make_folder
from edge_sdk.system.logs import Log
from edge_sdk.update.certifier import Certifier
from edge_sdk.update.entity_packs import STEP, EntityPacks, PackHolder
from edge_sdk.update.events import Events
from edge_sdk.update.model_state import ModelState
from edge_sdk.update.slots import Slot, Slots
from edge_sdk.update.state import SlotRef
from edge_sdk.update.targets import (
    CurrentAssignment,
    DesiredState,
    current_assignment,
    desired_state,
)
from edge_sdk.update.updater import Updater

if TYPE_CHECKING:
    from edge_sdk.config import DeviceConfig
    from edge_sdk.contract.personal.session_features import SessionFeatures
    from edge_sdk.fleet.following import Following
    from edge_sdk.hub.client import HubClient
    from edge_sdk.hub.outbox import Outbox
    from edge_sdk.sessions.session_store import SessionStore
    from edge_sdk.state_db import StateDatabase
    from edge_sdk.update.gatekeeper import UpdateHooks
    from edge_sdk.update.trust import Trust

_log = Log(__name__)


@dataclass(frozen=True)
class Shared:
    """What the models of one device have in common.

    Attributes:
        device: its name.
        attributes: for cohorts.
        share: the owner agreed to share labelled rows.
        store: its database.
        client: of the hub.
        outbox: takes messages.
        trust: verified metadata.
        config: limits and intervals.
        clock: Unix seconds.
        hooks: the application's word on updates.
    """

    device: str
    attributes: Mapping[str, str]
    share: bool
    store: StateDatabase
    client: HubClient
    outbox: Outbox
    trust: Trust
    config: DeviceConfig
    clock: Callable[[], float]
    hooks: UpdateHooks


class ModelLink:
    """Everything of one model that needs the state folder or the hub.

    Attributes:
        model: its name.
        shared: what is the device's.
        plan: the newest that was verified; ``None`` while there is none.
        certifier: chooses what of each release serves here.
        updater: brings its releases.
        entities: brings its answers by entity.
        crash_marker: of the candidates that run beside what serves.

    Args:
        model: its name.
        shared: what is the device's.
        following: what is done as its plan is followed.
    """

    def __init__(self, model: str, shared: Shared, following: Following) -> None:
        self.model = model
        self.shared = shared
        self._on_plan = following.on_plan
        self._store = store = ModelState(shared.store, model)
        with contextlib.suppress(OSError):  # on a read-only disk
            make_folder(store.folder)
        self.crash_marker = CrashMarker(store.folder / "running.mark")
        options = RuntimeOptions.of(shared.config)
        self._trust = shared.trust.of(model)
        self.certifier = Certifier(options, self._permitted_providers, self._note_choice)
        slots = Slots(store.folder, lambda: store.on_disk, options.providers)
        self.updater = Updater(
            store, shared.outbox, slots, self._trust, shared.client,
            probe=self.certifier.probe, activate=following.activate,
            clock=shared.clock, config=shared.config, hooks=shared.hooks,
        )  # fmt: skip
        self.entities = EntityPacks(
            PackHolder(model, shared.device, shared.attributes), store, shared.client,
            left=shared.config.free_bytes, use=following.use_entities,
            refusal=self.updater.download_refusal, told=self._report,
        )  # fmt: skip
        self.plan = self._stored_plan()

    def _note_choice(self, slot: Slot, reason: str) -> None:
        """Tell the hub that another variant or provider of a slot serves than before."""
        _log.warning("%s %s: %s", self.model, slot.ref.version, reason)
        events = Events(self.model, self.shared.outbox, self.shared.clock)
        events.report("fell_back", slot.ref, slot.ref, step="choice", reason=reason)

    def _permitted_providers(self) -> tuple[str, ...]:
        return self.plan.providers if self.plan is not None else ()

    def _report(self, reason: str) -> None:
        """Tell the hub why answers by entity did not come."""
        current = self.updater.state.current
        if current is not None:
            at = int(self.shared.clock())
            event = UpdateEvent(
                self.model, "fell_back", current.version, at, step=STEP, reason=reason[:500]
            )
            self.shared.outbox.put([event])

    def desired_state(self, plan: Plan) -> DesiredState:
        """Return what ``plan`` wants of this device, without what failed on it."""
        experiment = plan.experiment.id if plan.experiment is not None else None
        updater, shared = self.updater, self.shared

        def has_failed(release: ReleaseRef) -> bool:
            return updater.failed.includes(SlotRef.of(release), plan.serial, experiment)

        entered = experiment is not None and updater.state.entered == experiment
        return desired_state(
            plan, shared.device, shared.attributes, entered=entered, failed=has_failed
        )

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
        self._store.put("plan", plan.to_json().decode())
        try:
            if not self._store.on_disk:
                # A step's state would not be on the disk before the step.
                shared = self._store.shared
                raise StateError(
                    f"{shared.folder}: no update while the disk takes nothing "
                    f"({shared.health()['reason']}); make room or mount it writable"
                )
            return self.updater.apply(self.desired_state(plan), serial=plan.serial)
        finally:
            self._on_plan()  # whatever came of it, what the plan says of reporting holds

    def opened_sessions(self, declared: SessionFeatures) -> SessionStore:
        """Return the sessions of units, with those of before that are on the disk."""
        from edge_sdk.sessions.opening import opened_sessions

        if not declared.kept:
            return opened_sessions(declared, self.shared.clock)
        from edge_sdk.personalise.units.unit_secret import secret_in

        secret = secret_in(self.shared.store.folder)
        return opened_sessions(declared, self.shared.clock, self._store.folder, secret)

    def clear_sessions(self) -> None:
        """Remove the sessions that are on the disk, unless the plan has them kept there."""
        declared = None if self.plan is None else self.plan.sessions
        if declared is None or not declared.kept:
            remove_sessions(self._store.folder)

    def follow_entities(self) -> None:
        """Bring the answers by entity that the hub has for this device; raises EdgeError."""
        self.entities.follow(self._trust.entities())

    def describe(self) -> ReportedState:
        """Return the state of this model here, as a check-in has it."""
        state = self.updater.state
        return ReportedState(
            version=state.current.version if state.current else None,
            plan=self.plan.serial if self.plan else 0,
            pack=state.current.pack if state.current else None,
            features=state.current.features if state.current else None,
            phase=state.phase,
            failed=tuple(release for release, _ in self.updater.failed.all())[-20:],
            holds=tuple(ref.version for ref in state.held if ref != state.current),
            runs_on=self._runs_on(),
        )

    def _runs_on(self) -> dict[str, str]:
        """Return runtime, variant and provider of what serves, as a check-in has them."""
        slot = self.updater.slot()
        choice = self.certifier.choice(slot) if slot is not None else None
        if choice is None or choice.taken is None:
            return {}
        told = {
            "onnxruntime": choice.environment.get("onnxruntime", ""),
            "variant": choice.taken.variant,
            "provider": choice.taken.provider,
            "refused": choice.refusals,
        }
        return {name: text[:STATE_CHARACTERS] for name, text in told.items() if text}

    def status(self) -> dict[str, Any]:
        """Return how the model's updates get along, as plain values."""
        reported = self.describe()
        return {
            "plan": reported.plan,
            "phase": reported.phase,
            "update_waits": self.updater.waiting,
            "failures": dict(self.updater.failed.all()),
            "entities": self.entities.status(),
            "choice": self._choice(),
        }

    def _choice(self) -> dict[str, Any] | None:
        """Return which variant serves on which provider, why, and what was refused."""
        slot = self.updater.slot()
        choice = self.certifier.choice(slot) if slot is not None else None
        if choice is None or choice.taken is None:
            return None
        return {
            "because": choice.because,
            "trials": [vars(trial) for trial in choice.trials],
            "environment": dict(choice.environment),
        }

    def _stored_plan(self) -> Plan | None:
        text = self._store.get("plan")
        try:
            return Plan.from_json(text.encode()) if text else None
        except ContractError:
            return None  # of another format version; the next refresh brings one that fits
