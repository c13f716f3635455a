"""A device's link with its hub: identity, state on disk, trust and syncs, for all its models."""

from __future__ import annotations

import platform
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_sdk.contract.fleet import CheckIn, DeviceLog, check_attributes
from edge_sdk.contract.messages import Body, WindowReport
from edge_sdk.contract.names import CPU
from edge_sdk.errors import EdgeError
from edge_sdk.fleet.enrolment import PROVIDERS, check_joining, enrol, hub_of, join
from edge_sdk.fleet.identity import Identity
from edge_sdk.fleet.local_events import LocalEvents
from edge_sdk.fleet.model_link import ModelLink, Shared
from edge_sdk.hub.client import HubClient
from edge_sdk.hub.outbox import Outbox
from edge_sdk.hub.outgoing_log import outgoing_lines
from edge_sdk.state_db import StateDatabase
from edge_sdk.system.logs import recent
from edge_sdk.system.windows import parse_windows
from edge_sdk.telemetry.label_store import LabelStore
from edge_sdk.update.admission import window_state
from edge_sdk.update.gatekeeper import UpdateHooks
from edge_sdk.update.syncer import Syncer
from edge_sdk.update.trust import Trust

if TYPE_CHECKING:
    from edge_sdk.config import DeviceConfig
    from edge_sdk.fleet.following import Following
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
    """Everything of a device that needs its state folder or its hub, once for all its models.

    Attributes:
        models: links of the models that are followed, by name.
        events: of the device.

    Args:
        how: to reach and join the hub.
        config: limits and intervals.
        clock: Unix seconds.
        on_update: the application's word on each update.
        metered: says whether the network costs by the byte.
    """

    def __init__(
        self,
        how: Enrolment,
        config: DeviceConfig,
        clock: Callable[[], float],
        on_update: OnUpdate | None = None,
        metered: Callable[[], bool] | None = None,
    ) -> None:
        hooks = UpdateHooks(on_update, metered)
        self.boot = secrets.token_hex(4)
        self.share = how.share
        self.models: dict[str, ModelLink] = {}
        self.interval: Callable[[], float] | None = None
        self.events = LocalEvents(clock)
        self._clock, self._windows = clock, parse_windows(config.update_windows)
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
            self._wire(how, config, clock, hooks)
        except BaseException:
            self.store.close()
            raise

    def _wire(
        self, how: Enrolment, config: DeviceConfig, clock: Callable[[], float], hooks: UpdateHooks
    ) -> None:
        self._identities = enrol(
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
        providers = [list(each) if isinstance(each, tuple) else each for each in config.providers]
        if (self.store.get(PROVIDERS) or [CPU]) != providers:
            self.store.put(PROVIDERS, providers)
        told = self.events.of_message
        self.outbox = Outbox(self.store, self.boot, config.outbox_bytes, told)
        trust = Trust(self.store, self.client, self.identity.root, clock)
        self.syncer = Syncer(
            self.store, self.outbox, self.client, trust, self.models,
            describe=self.describe, heartbeat=config.heartbeat_seconds, clock=clock,
            spread=hooks.spread, log=lambda: _log_of(config),
        )  # fmt: skip
        self._shared = Shared(
            self.identity.device, self.attributes, self.share, self.store, self.client,
            self.outbox, trust, config, clock, hooks,
        )  # fmt: skip

    @property
    def identity(self) -> Identity:
        """Return the device as it knows itself."""
        assert self._identities.identity is not None
        return self._identities.identity

    def join(self, model: str, token: str | None, serial: str | None) -> None:
        """Have the hub take this device in for one more model.

        Args:
            model: its name.
            token: enrolment token for it.
            serial: number by which the device was registered for it.

        Raises:
            StateError: there is neither token nor serial, or they cannot be any.
            HubError: the hub refused, or cannot be reached.
        """
        check_joining(self.store, self.identity, model, token, None, serial)
        with self.client.conversation():
            join(self._identities, self.client, model, token, self.attributes, serial=serial)

    def add(self, model: str, following: Following) -> ModelLink:
        """Follow one more of the models for which this device is enrolled.

        Args:
            model: its name.
            following: what is done as its plan is followed.
        """
        self.models[model] = ModelLink(model, self._shared, following)
        self.syncer.ask_again()
        return self.models[model]

    def labels(self, config: DeviceConfig) -> LabelStore:
        """Return predictions that wait for labels in the database; one for each model."""
        return LabelStore(self.store, config.kept_predictions)

    def describe(self) -> CheckIn:
        """Return the check-in of this device as things stand."""
        return CheckIn(
            models={name: model.describe() for name, model in list(self.models.items())},
            attributes=self.attributes,
            waiting=self.outbox.waiting(),
            sharing=self.share,
            software={"edge_sdk": _version(), "python": platform.python_version()},
            interval=self._interval(),
        )

    def _interval(self) -> float | None:
        """Seconds between two contacts as they are kept; the hub may have asked for more."""
        own = None if self.interval is None else self.interval()
        return None if own is None else max(own, self.client.advice.next_sync)

    def status(self) -> dict[str, Any]:
        """Return how device and hub get along, as plain values."""
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
            "waiting": self.outbox.waiting(),
            "sharing": self.share,
            "rejected": self.store.get("last_rejection"),
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


def _log_of(config: DeviceConfig) -> DeviceLog:
    """Return what the hub may have of this process's log, as its owner said."""
    return DeviceLog(config.logs, outgoing_lines(recent()) if config.logs else ())


def _version() -> str:
    try:
        return version("edge-deployment-sdk-core")
    except PackageNotFoundError:
        return "unknown"
