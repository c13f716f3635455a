"""EdgeDevice: the one class that an application needs.

Invariants:

* ``predict`` never waits for telemetry, a sync or an update: those run on two daemon threads, for
  all models, and an update replaces the serving release by one assignment.
* Without a hub, or while it cannot be reached, everything but updates and the cloud keeps working.
* What goes wrong with one model is no other model's trouble.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from edge_sdk.config import DeviceConfig, Providers, check_opening
from edge_sdk.errors import EdgeError, StateError
from edge_sdk.fleet.active_releases import ActiveReleases
from edge_sdk.fleet.device_calls import DeviceCalls
from edge_sdk.fleet.device_model import DeviceModel
from edge_sdk.fleet.device_models import DeviceModels, NoOwnModel
from edge_sdk.fleet.device_state import DeviceState
from edge_sdk.fleet.device_watch import DeviceWatch
from edge_sdk.fleet.unit_places import UnitPlaces
from edge_sdk.model.memory import ModelMemory
from edge_sdk.serving.opening import OfflineFiles
from edge_sdk.system.deadline import Deadline
from edge_sdk.system.operating_system import call_in_child
from edge_sdk.system.repeater import Repeater
from edge_sdk.telemetry.energy import EnergyUse, energy_use
from edge_sdk.telemetry.resources import ResourceUse
from edge_sdk.validation import check_model_name

if TYPE_CHECKING:  # not needed at start; some bring requests and tuf
    from edge_sdk.contract.messages import Body
    from edge_sdk.contract.personal.session_features import SessionFeatures
    from edge_sdk.contract.serving_terms import Reporting
    from edge_sdk.fleet.connection import FleetLink
    from edge_sdk.processes.client import OwnerClient
    from edge_sdk.processes.owner import Owner
    from edge_sdk.telemetry.meters import Meter
    from edge_sdk.update.admission import OnUpdate
    from edge_sdk.update.syncer import SyncResult, SyncSchedule

CLOSE_SECONDS: Final = 10.0
"""Seconds after which :meth:`EdgeDevice.close` returns at the latest."""

LOCAL_REPORTS: Final = 1_000
"""Reports that a device without a hub holds in memory; beyond it the oldest are dropped."""

SHARED_METER: Final = "several models answer on this device: its joules cannot be told apart"


class EdgeDevice(DeviceState, DeviceCalls):
    """A device of a fleet, or (:meth:`offline`) release folders that answer by themselves.

    It has one identity, one state folder, one sync and one outbox for any number of models.
    :meth:`model` gives each of them; the device itself answers with its own: the one that it was
    opened with, or the only one that it had then.

    Use it as a context manager, or call :meth:`close`. All methods may be called from any thread.

    Args:
        state: folder for releases, packs, waiting reports and the device's identity; one per
            device, created if it does not exist.
        hub: URL of the hub, such as ``https://hub:8000``.
        token: enrolment token; needed until the device has been enrolled once.
        model: name of the device's own model, whose fleet it joins if it is not in it; ``None`` for
            the models for which it is enrolled, or for all that the token is for.
        serial: serial number, if the device was registered by one (``edge-hub devices register``);
            ``token`` then is its one-time secret, or ``None`` if its public key was registered.
        attributes: text by name, for cohorts, such as ``{"region": "eu"}``. Those that the hub
            fixed for the token win.
        share: True if the owner agrees to share labelled rows for retraining, where the plan asks
            for them.
        root: bytes of a ``root.json`` baked into the image, instead of trust on first enrolment.
        verify: True to check TLS certificates; a path names a private CA bundle.
        providers: execution providers that may run models, in place of ``config.providers``.
        config: limits and intervals.
        energy: function that returns the joules that the device has drawn so far; by default the
            machine's own counters, where it has some. :mod:`edge_sdk.meters` helps to write one.
        on_update: function that is asked before an update is downloaded and before it serves,
            with an :class:`~edge_sdk.update.admission.UpdateOffer`: None or True to go on, False
            or seconds to be asked again. ``config.update_defer_seconds`` bounds it. It runs within
            a sync, so it must not call :meth:`sync` or :meth:`close`.
        metered: function that returns True while the network costs by the byte: updates wait, and
            syncs are rare.
        battery: function that returns True while the machine runs on a battery: shadows wait,
            syncs and folding are rare. By default the system is asked (Linux).
        background: True to sync, to collect telemetry and to serve other processes of this device
            (:meth:`attach`) on daemon threads; without it call :meth:`sync`.
        clock: function that returns Unix seconds, for the windows of reports and for expiry.

    Raises:
        StateError: the folder is in use, or not writable; the device is not enrolled for the model
            and has no token; ``energy`` is not a function.
        HubError: the device is not enrolled, and the hub refuses or cannot be reached.
        EdgeError: an argument is not of the expected kind.
    """

    _link: FleetLink | None
    _last_sync: SyncResult | None
    _local_reports: deque[Body]
    _repeaters: list[Repeater]
    _sync_lock: threading.Lock
    _owner: Owner | None = None
    _remote: OwnerClient | None = None

    def __init__(
        self,
        state: str | Path,
        *,
        hub: str,
        token: str | None = None,
        model: str | None = None,
        serial: str | None = None,
        attributes: Mapping[str, str] | None = None,
        share: bool = False,
        root: bytes | None = None,
        verify: bool | str = True,
        providers: Providers = None,
        config: DeviceConfig = DeviceConfig(),
        energy: Meter | None = None,
        on_update: OnUpdate | None = None,
        metered: Callable[[], bool] | None = None,
        battery: Callable[[], bool] | None = None,
        background: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        # Imported here: requests, tuf and sqlite3 cost memory that a device without a hub saves.
        from edge_sdk.fleet.connection import Enrolment, FleetLink
        from edge_sdk.update.syncer import SyncSchedule

        config = check_opening(config, share, providers)
        meter = energy_use(energy)
        enrolment = Enrolment(state, hub, model, token, attributes, root, share, verify, serial)
        link = FleetLink(enrolment, config, clock, on_update, metered)
        self._assemble(config, meter, clock, link.boot, link, SyncSchedule(config))
        try:
            self._watch.thrift.ask(battery, metered)
            self._follow_all(link, model)
        except BaseException:
            self._models.leave()
            link.store.close()
            raise
        try:
            self._start_threads(background)
        except BaseException:  # SIGTERM, perhaps: nobody has the device yet to close it
            self.close()
            raise

    @classmethod
    def offline(
        cls,
        folder: str | Path | Sequence[str | Path],
        *,
        pack: str | Path | None = None,
        features: str | Path | None = None,
        entities: str | Path | None = None,
        shadow: str | Path | None = None,
        interleave: str | Path | None = None,
        prior: str | Path | None = None,
        units: str | Path | None = None,
        sessions: SessionFeatures | str | Path | None = None,
        providers: Providers = None,
        config: DeviceConfig = DeviceConfig(),
        energy: Meter | None = None,
        clock: Callable[[], float] = time.time,
        reporting: Reporting | None = None,
        background: bool = True,
    ) -> EdgeDevice:
        """Return a device that serves the release in ``folder`` and connects to nothing.

        Args:
            folder: release folder; or several, each of another model, which :meth:`model` gives and
                to which none of the files below belong.
            pack: pack of precomputed answers.
            features: pack of batch features by entity.
            entities: pack of answers by entity.
            shadow: folder of a second release that answers the same inputs, unseen by the
                application; :meth:`reports` compares the two.
            interleave: folder of a second release whose rankings are mixed with the first one's.
            prior: personal prior of the release: what units (users, sessions) begin with.
            units: folder for what is learned of units, which then outlives the process; by default
                it is in memory only. One process uses it; forked children keep theirs in memory.
            sessions: declared session features, or a file of them that ``edge-hub features export``
                wrote; :meth:`session` keeps them in memory.
            providers: execution providers that may run it, in place of ``config.providers``.
            config: limits and intervals.
            energy: function that returns joules, as for :class:`EdgeDevice`.
            clock: function that returns Unix seconds, for the windows of reports.
            reporting: length of windows and other rules of reports, which a hub's plan says
                elsewhere: :class:`edge_sdk.contract.serving_terms.Reporting`.
            background: True to collect telemetry on a thread; without it :meth:`reports` does.

        Raises:
            ReleaseError: a folder does not hold a complete release, the release does not run here,
                or the second one takes other inputs than the first.
            StateError: both ``shadow`` and ``interleave`` are set; ``energy`` is not a function;
                there are several folders, and files beside them or two of one model; ``units`` is
                in use by another process, or cannot be used.
            InputError: ``config`` or ``reporting`` is of another kind.
            PackError: ``pack``, ``features`` or ``prior`` is for another release, damaged or
                expired; ``entities`` is for another model or damaged.
        """
        files = OfflineFiles(pack, features, entities, shadow, interleave, sessions, prior)
        config = check_opening(config, providers=providers)
        folders: Any = folder if isinstance(folder, list | tuple) else [folder]
        from edge_sdk.device_kinds.offline import (  # a kind of this class
            OfflineDevice,
            offline_terms,
        )

        terms = offline_terms(reporting)
        device = OfflineDevice(folders, files, terms, config, energy, clock, units=units)
        device._start_threads(background)
        return device

    @classmethod
    def attach(cls, state: str | Path, *, timeout: float = 0.0) -> EdgeDevice:
        """Return the device in ``state``, which another process runs and goes on running.

        Each call is answered there, with its model, pack, experiments and telemetry: ids of
        predictions are good in every process. When that process is started again, later calls
        reach it. :meth:`stream` and :meth:`reports` are for the process itself.

        Args:
            state: the device's state folder.
            timeout: seconds to wait for a process that runs it.

        Raises:
            StateError: none does, or it was opened with ``background=False``.
        """
        from edge_sdk.device_kinds.attached import AttachedDevice  # a kind of this class

        return AttachedDevice(state, timeout)

    @property
    def models(self) -> tuple[str, ...]:
        """Return the names of the models on this device."""
        return self._models.names

    def model(self, name: str) -> DeviceModel:
        """Return one of the models on this device, to predict with it and to give it feedback.

        Args:
            name: of the model.

        Raises:
            InputError: it is not on this device.
        """
        return self._models[name]

    def join(
        self, model: str, token: str | None = None, *, serial: str | None = None
    ) -> DeviceModel:
        """Join the fleet of one more model, with the identity that the device has; after a sync
        that is under way.

        Args:
            model: its name; one that is here already is returned.
            token: enrolment token for it.
            serial: serial number, if the device was registered for it.

        Raises:
            StateError: the device has no hub; there is neither token nor serial.
            HubError: the hub refuses, or cannot be reached.
            InputError: ``model`` is no text.
        """
        if self._link is None:
            raise StateError("this device was opened offline: it has no hub to join a fleet at")
        check_model_name(model)
        with self._sync_lock:
            if model not in self._models:
                if model not in self._link.identity.models:
                    self._link.join(model, token, serial)
                self._follow(model, self._link)
            joined = self._models[model]
        if not joined.serves:
            self.sync()
        return joined

    def sync(self) -> SyncResult:
        """Send reports, fetch the plans, update and check in; now, in this thread.

        Returns:
            The outcome of each step; errors of the network are in it, not raised.

        Raises:
            StateError: the device has no hub.
        """
        if self._link is None:
            raise StateError("this device was opened offline: it has no hub to sync with")
        with self._sync_lock, self._meter.syncing():
            self._fold()
            self._last_sync = result = self._link.syncer.once()
            if result.errors:
                for model in self._models:
                    model.explain_absence(f"the last sync reported {result.errors}")
            self._watch.look()
            return result

    def close(self, timeout: float = CLOSE_SECONDS) -> None:
        """Stop the threads, save the open windows, and send what one request can send.

        A download in progress stops here; the next start resumes it.

        Args:
            timeout: seconds that it may take, whatever the hub and the network do.
        """
        if self._remote is not None:  # this method was kept across a fork, as atexit does
            self._remote.close()
            return
        deadline = Deadline(timeout)
        if self._owner is not None:
            self._owner.close()
        # The client first: a sync thread that waits for the network would not stop in time.
        if self._link is not None:
            self._link.client.interrupt()
        for repeater in self._repeaters:
            repeater.stop(timeout=deadline.left(reserve=0.25))
        self._repeaters = []
        self._watch.say_closed(deadline.left(reserve=0.25))
        if self._link is not None:
            # A sync that does not end in time finds the store closed, which is an error to it.
            synced = self._sync_lock.acquire(timeout=deadline.left(reserve=0.25))
            try:
                for model in self._models:
                    model.collect(final=True)
                    model.end()
                self._link.hand_over(deadline.left())
            finally:
                self._link.store.close()
                if synced:
                    self._sync_lock.release()
        for model in self._models:
            model.end()
        self._watch.close(deadline.left())
        self._released()

    def _released(self) -> None:
        """Give up what belongs to the kind of the device, after all else is closed."""

    def __repr__(self) -> str:
        where = "offline" if self._link is None else self._link.client.url
        return f"<EdgeDevice {self._models}, {where}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def _assemble(
        self,
        config: DeviceConfig,
        meter: EnergyUse,
        clock: Callable[[], float],
        boot: str,
        link: FleetLink | None = None,
        schedule: SyncSchedule | None = None,
    ) -> None:
        """Set every attribute, for devices with a hub and without."""
        self._config = config
        self._meter = meter
        self._clock = clock
        self._boot = boot
        self._link = link
        self._schedule = schedule
        self._models = DeviceModels()
        self._tags = itertools.count(1)
        self._memory = ModelMemory(config.memory_bytes)
        self._local_reports = deque(maxlen=LOCAL_REPORTS)
        self._last_sync = None
        self._sync_lock = threading.Lock()  # sync() may be called while the sync thread runs
        self._repeaters = []
        self._resources = ResourceUse()
        self._watch = DeviceWatch(config, self._models, link, clock, self.status, self._trouble)

    def _made(self, name: str) -> DeviceModel:
        """Return a model that answers nothing yet."""
        labels = None if self._link is None else self._link.labels(self._config)
        service = ActiveReleases(
            self._config, self._boot, self._send, self._meter, self._clock, labels, self._tags,
            self._memory, self._unit_places(name),
        )  # fmt: skip
        return DeviceModel(name, service)

    def _unit_places(self, name: str) -> UnitPlaces:
        """Return the places for what is learned of a model's units."""
        if self._link is None:
            return UnitPlaces()
        from edge_sdk.update.model_state import ModelState

        state = ModelState(self._link.store, name)
        return UnitPlaces(state.folder, self._link.store.folder, state)

    def _add(self, model: DeviceModel) -> None:
        """Have a model that answers."""
        self._models.add(model)
        if len(self._models.names) > 1:
            self._meter.give_up(SHARED_METER)

    def _follow_all(self, link: FleetLink, own: str | None) -> None:
        """Follow the plans of all models, and sync if one of them has nothing to serve yet."""
        for name in link.identity.models:
            self._follow(name, link)
        self._choose(own)
        if not all(each.serves for each in self._models):
            self.sync()

    def _follow(self, name: str, link: FleetLink) -> None:
        """Follow the plan of a model from now on, and serve what the last run left."""
        from edge_sdk.fleet.rollout import RolloutController

        model = self._made(name)
        own = link.add(name, model.following)
        service, ask_again = model._service, link.syncer.ask_again
        try:
            model.follow(own, RolloutController(own, service, self._config, ask_again))
        except BaseException:
            # Or it would count as joined the next time, and nobody would follow its plan.
            link.models.pop(name)
            with contextlib.suppress(EdgeError):
                model.leave()
            raise
        self._add(model)

    def _choose(self, name: str | None) -> None:
        """Make a model the device's own: the one of that name, or the only one."""
        self._models.choose(name)
        own = self._models.own
        if own is None:
            self._service = NoOwnModel(self._models)  # type: ignore[assignment]
            self._sequence = self.stream()
        else:
            self._service, self._sequence = own._service, own._sequence

    def _start_threads(self, background: bool) -> None:
        if background:
            self._repeaters = [Repeater("edge-fold", self._fold)]
            if self._link is not None:
                from edge_sdk.fleet.sync_times import SyncTimes  # no part of a device without a hub

                # Without a thread the application syncs when it likes, and nobody misses it.
                self._link.interval = self._watch.thrift.interval
                times = SyncTimes(self._link.syncer, self._sync_again, self._waits_for_news)
                self._repeaters.append(Repeater("edge-sync", times.work))
        for repeater in self._repeaters:
            repeater.start()
        if background and self._link is not None:
            import edge_sdk.device_kinds.attached  # noqa: F401 - a forked child should not import it
            from edge_sdk.processes.owner import own

            self._owner = own(self._link.store.folder, self)
        call_in_child(self._after_fork)

    def _after_fork(self) -> None:
        """Become, in a forked child, the device that the parent goes on running."""
        from edge_sdk.device_kinds.attached import attach_child

        assert self._link is not None
        attach_child(self, self._link.store.folder)

    def _send(self, bodies: list[Body]) -> None:
        """Put messages into the outbox, or into memory without a hub."""
        if self._link is None:
            self._local_reports.extend(bodies)
        elif bodies:
            self._link.keep(bodies)

    def _fold(self) -> float:
        """Run one round of the telemetry thread; return the seconds until the next."""
        try:
            self._models.fold()
        finally:  # what went wrong with one model is told, too
            self._watch.look()
        return self._watch.thrift.fold_seconds()

    def _waits_for_news(self) -> bool:
        return self._config.push and not self._watch.thrift.reasons

    def _sync_again(self) -> float:
        """Run one round of the sync thread; return the seconds until the next."""
        assert self._schedule is not None
        return self._watch.thrift.sync_seconds(self._schedule.after(self.sync()))
