"""EdgeDevice: the one class that an application needs.

Invariants:

* ``predict`` never waits for telemetry, a sync or an update: those run on two daemon threads, and
  an update replaces the serving release by one assignment.
* Without a hub, or while it cannot be reached, everything but updates and the cloud keeps working.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, Unpack

from edge_sdk.config import DeviceConfig, check_opening
from edge_sdk.errors import EdgeError, StateError
from edge_sdk.fleet.active_releases import ActiveReleases
from edge_sdk.fleet.device_watch import DeviceWatch
from edge_sdk.fleet.offline import check_one_experiment, offline_terms, serve_offline
from edge_sdk.serving.opening import OfflineFiles
from edge_sdk.serving.stream import Stream
from edge_sdk.system.deadline import Deadline
from edge_sdk.system.repeater import Repeater
from edge_sdk.telemetry.energy import energy_use
from edge_sdk.telemetry.resources import ResourceUse

if TYPE_CHECKING:  # not needed at start; some bring requests and tuf
    from edge_sdk.contract.manifest import Label
    from edge_sdk.contract.messages import Body
    from edge_sdk.contract.serving_terms import Reporting
    from edge_sdk.fleet.connection import FleetLink
    from edge_sdk.fleet.local_events import LocalEvent
    from edge_sdk.fleet.rollout import RolloutController
    from edge_sdk.model.explain import Explanation, Scale
    from edge_sdk.model.explain_regions import ExplanationTerms
    from edge_sdk.model.prediction import BatchPrediction, Prediction
    from edge_sdk.packs.entity_features import StoredFeatures
    from edge_sdk.packs.entity_predictions import EntityPredictions
    from edge_sdk.serving.ranking import Ranking
    from edge_sdk.telemetry.meters import Meter
    from edge_sdk.update.admission import OnUpdate
    from edge_sdk.update.slots import Slot
    from edge_sdk.update.syncer import SyncResult, SyncSchedule

CLOSE_SECONDS: Final = 10.0
"""Seconds after which :meth:`EdgeDevice.close` returns at the latest."""

LOCAL_REPORTS: Final = 1_000
"""Reports that a device without a hub holds in memory; beyond it the oldest are dropped."""

LOCAL_BOOT: Final = "local"
"""First part of prediction ids on a device without a hub, whose ids need not differ elsewhere."""


class EdgeDevice:
    """A device of a fleet, or (:meth:`offline`) a release folder that answers by itself.

    Use it as a context manager, or call :meth:`close`. All methods may be called from any thread.

    Args:
        state: folder for releases, packs, waiting reports and the device's identity; one per
            device, created if it does not exist.
        hub: URL of the hub, such as ``https://hub:8000``.
        token: enrolment token; needed until the device has been enrolled once.
        model: name of the model whose fleet to join.
        serial: serial number, if the device was registered by one (``edge-hub devices register``);
            ``token`` then is its one-time secret, or ``None`` if its public key was registered.
        attributes: text by name, for cohorts, such as ``{"region": "eu"}``. Those that the hub
            fixed for the token win.
        share: True if the owner agrees to share labelled rows for retraining, where the plan asks
            for them.
        root: bytes of a ``root.json`` baked into the image, instead of trust on first enrolment.
        verify: True to check TLS certificates; a path names a private CA bundle.
        config: limits and intervals.
        energy: function that returns the joules that the device has drawn so far; by default the
            machine's own counters, where it has some. :mod:`edge_sdk.meters` helps to write one.
        on_update: function that is asked before an update is downloaded and before it serves,
            with an :class:`~edge_sdk.update.admission.UpdateOffer`: None or True to go on, False
            or seconds to be asked again. ``config.update_defer_seconds`` bounds it. It runs within
            a sync, so it must not call :meth:`sync` or :meth:`close`.
        metered: function that returns True while the network costs by the byte: updates wait, and
            syncs are rare.
        battery: function that returns True while the machine runs on a battery: a shadow waits,
            syncs and folding are rare. By default the system is asked (Linux).
        background: True to sync and to collect telemetry on daemon threads; without it call
            :meth:`sync`.
        clock: function that returns Unix seconds, for the windows of reports and for expiry.

    Raises:
        StateError: the folder is in use, not writable, or another model's; ``energy`` is not a
            function.
        HubError: the device is not enrolled, and the hub refuses or cannot be reached.
        EdgeError: an argument is not of the expected kind.
    """

    _link: FleetLink | None
    _rollout: RolloutController | None
    _schedule: SyncSchedule | None
    _last_sync: SyncResult | None
    _repeaters: list[Repeater]
    _local_reports: deque[Body]

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
        from edge_sdk.fleet.rollout import RolloutController
        from edge_sdk.telemetry.label_store import LabelStore
        from edge_sdk.update.syncer import SyncSchedule

        check_opening(config, share)
        meter = energy_use(energy)
        enrolment = Enrolment(state, hub, model, token, attributes, root, share, verify, serial)
        callbacks = (self._activate, self._follow_plan, self._use_entities)
        link = FleetLink(enrolment, config, *callbacks, clock, on_update, metered)
        labels = LabelStore(link.store, config.kept_predictions)
        service = ActiveReleases(config, link.boot, self._send, meter, clock, labels)
        self._assemble(config, service, link, SyncSchedule(config))
        self._rollout = RolloutController(link, service, config)
        try:
            self._watch.thrift.ask(battery, metered)
            self._rollout.start()
            if service.serving is None:
                self.sync()
        except BaseException:
            with contextlib.suppress(EdgeError):
                self._rollout.close()
            link.store.close()
            raise
        self._start_threads(background)

    @classmethod
    def offline(
        cls,
        folder: str | Path,
        *,
        pack: str | Path | None = None,
        features: str | Path | None = None,
        entities: str | Path | None = None,
        shadow: str | Path | None = None,
        interleave: str | Path | None = None,
        config: DeviceConfig = DeviceConfig(),
        energy: Meter | None = None,
        clock: Callable[[], float] = time.time,
        reporting: Reporting | None = None,
        background: bool = True,
    ) -> EdgeDevice:
        """Return a device that serves the release in ``folder`` and connects to nothing.

        Args:
            folder: release folder.
            pack: pack of precomputed answers.
            features: pack of batch features by entity.
            entities: pack of answers by entity.
            shadow: folder of a second release that answers the same inputs, unseen by the
                application; :meth:`reports` compares the two.
            interleave: folder of a second release whose rankings are mixed with the first one's.
            config: limits and intervals.
            energy: function that returns joules, as for :class:`EdgeDevice`.
            clock: function that returns Unix seconds, for the windows of reports.
            reporting: length of windows and other rules of reports, which a hub's plan says
                elsewhere: :class:`edge_sdk.contract.serving_terms.Reporting`.
            background: True to collect telemetry on a thread; without it :meth:`reports` does.

        Raises:
            ReleaseError: a folder does not hold a complete release, the release does not run here,
                or the second one takes other inputs than the first.
            StateError: both ``shadow`` and ``interleave`` are set; ``energy`` is not a function.
            InputError: ``config`` or ``reporting`` is of another kind.
            PackError: ``pack`` or ``features`` is for another release, damaged or expired;
                ``entities`` is for another model or damaged.
        """
        files = OfflineFiles(pack, features, entities, shadow, interleave)
        return _OfflineDevice(folder, files, config, energy, clock, reporting, background)

    def predict(
        self,
        x: Any = None,
        *,
        entity: str | None = None,
        unit: str | None = None,
        groups: Mapping[str, Any] | None = None,
        deadline_ms: float | None = None,
    ) -> Prediction:
        """Answer one input.

        A model with recurrent state sees the inputs of a device as one sequence; :meth:`stream`
        starts another one.

        Args:
            x: a row of features (1-D array or list, [features]), a dict by column name, a DataFrame
                of one row or a Series, or a feed (dict of arrays by tensor name, or the array of
                the only one; with the axis of the rows or without it). A release that holds its
                preprocessing takes a picture of Pillow and bytes, too (docs/INPUTS.md).
                With ``entity`` a dict of the features that are
                not stored, or that are newer than the stored ones.
            entity: name of an entity, such as ``"user-42"``. Without ``x`` its precomputed answer
                is given, if this device has one that has not expired. Else its stored features
                are joined with ``x`` (an entity that has none gets their declared defaults) and
                the model answers; where it cannot, the default of the batch job.
            unit: for whom the prediction is made, such as ``"user-42"``: while the plan runs an A/B
                by key, a unit always gets the same version. It does not leave the device; sums
                by one of 128 buckets of its hash do.
            groups: group of the row by column, such as ``{"sex": "f"}``, for columns that the
                release declares and the model does not take (a dict ``x`` may hold them as well).
                They are only counted; a release that does not declare them ignores them.
            deadline_ms: milliseconds that this call waits for the cloud, instead of the plan's; 0
                means not at all. After the deadline the on-device model answers.

        Returns:
            The prediction; ``source`` says whether pack, model, cloud or default answered.

        Raises:
            InputError: the input does not fit the model; the message names the feature.
            ReleaseError: there is no release yet, or the model failed on this input.
        """
        service = self._service
        serving = service.serving
        if serving is None or unit is not None:
            serving = service.serving_for(unit)
        if entity is not None:
            if x is None:
                stored = serving.precomputed(entity)
                if stored is not None:
                    return stored
            stored, x = serving.by_entity(entity, x)
            if stored is not None:
                return stored
        if serving.stateful:
            return self._sequence.predict(x, deadline_ms=deadline_ms, groups=groups)
        if deadline_ms is None:
            return serving.predict(x, groups)
        return serving.predict_any(x, deadline_ms=deadline_ms, groups=groups)

    def stored_features(self, entity: str) -> StoredFeatures:
        """Return the stored features of an entity, with their age; nothing is counted.

        Args:
            entity: its name, such as ``"user-42"``.

        Raises:
            InputError: this device has no batch features, or they are damaged there.
            ReleaseError: there is no release yet.
        """
        return self._service.current().stored(entity)

    def predict_ranking(
        self,
        x: Any,
        *,
        candidates: Sequence[Hashable] | None = None,
        length: int | None = None,
        unit: str | None = None,
    ) -> Ranking:
        """Rank items, best first; :mod:`edge_sdk.ranking` says which models can.

        While the plan interleaves two versions, the list may hold items that both picked in turn.
        Pass the clicks to :meth:`feedback`, an empty list included.

        Args:
            x: one row per candidate ([candidates, features]); without ``candidates`` one input of
                a model that scores all of its items at once.
            candidates: the items to rank, each once.
            length: number of items to show at most; by default all.
            unit: as for :meth:`predict`.

        Returns:
            The items in order, and the id for :meth:`feedback`.

        Raises:
            InputError: the input does not fit the model, or the model has no scores.
            ReleaseError: there is no release yet, or the model failed.
        """
        return self._service.ranking(x, candidates, length, unit)

    def stream(self) -> Stream:
        """Start a separate sequence of inputs to a model with recurrent state."""
        return Stream(self._service.current)

    def predict_batch(
        self,
        x: Any,
        *,
        unit: str | None = None,
        groups: Mapping[str, Any] | None = None,
        pack: bool = False,
    ) -> BatchPrediction:
        """Answer N inputs with the on-device model; the cloud is not asked.

        Args:
            x: 2-D array [N, features], list of rows or dicts, DataFrame, or feed.
            unit: as for :meth:`predict`, for all rows.
            groups: N values by column, as for :meth:`predict`.
            pack: True to ask the pack first, as :meth:`predict` does; ``sources`` of the answer
                says which rows it held. A look-up takes microseconds, a small model's row in a
                batch far less: worth it where the answers of the pack are better than the model's.

        Returns:
            The N predictions, by column.

        Raises:
            InputError: there are no rows, or one does not fit the model.
            ReleaseError: there is no release yet, or the model failed.
        """
        return self._service.serving_for(unit).predict_batch(x, groups, pack=pack)

    def explain(
        self, x: Any, *, scale: Scale = "probability", **terms: Unpack[ExplanationTerms]
    ) -> Explanation:
        """Explain the on-device model's answer to ``x``; nothing is counted.

        A row is explained by its features; a picture, a sequence or a vector by its regions, and
        it is measured how far those can be trusted.

        Args:
            x: one input, as for :meth:`predict`.
            scale: ``probability``, or ``log-odds``, on which the parts of a logistic model add up.
                A regressor is explained on the scale of its value, a model that gives a vector by
                how similar it stays to the vector for ``x``.
            **terms: ``label`` is the class whose probability is explained, by default the
                likeliest. Of regions: ``method`` is ``"occlusion"``, one answer of the model for
                each, or ``"shapley"``, which takes about ``calls`` of them (1,000) and sees regions
                that act together; ``regions`` is their number, about (49; 2 to 1,024); ``tensor``
                the input whose regions are explained, where there are several.

        Raises:
            InputError: the input does not fit or cannot be divided, needs those before it, or an
                argument is out of bounds.
            ReleaseError: there is no release yet, or the model failed.
        """
        return self._service.current().explain(x, scale, terms)

    def feedback(
        self,
        prediction: str,
        *,
        label: Label | float | Collection[Label] | None = None,
        reward: float | None = None,
        clicks: Sequence[Hashable] | None = None,
    ) -> None:
        """Report the outcome of a prediction; each kind of outcome once.

        Args:
            prediction: id of the prediction or ranking.
            label: the true class, or the true number for a regressor; of a multilabel model the
                list of all true classes, perhaps none.
            reward: how good the outcome was; larger is better.
            clicks: items of a ranking or a precomputed list that were clicked on, perhaps none.

        Raises:
            InputError: the prediction is unknown or too old, the label is not one of the classes,
                an item was not shown, or the outcome was reported before.
        """
        self._service.feedback(prediction, label, reward, clicks)

    def reports(self, *, final: bool = True) -> list[Body]:
        """Return the reports since the last call, on a device without a hub.

        Args:
            final: True to end all windows now, False to leave those that are open.

        Raises:
            StateError: the device has a hub, to which they are sent.
        """
        if self._link is not None:
            raise StateError("this device has a hub: its reports wait in the outbox for it")
        self._service.collect(final=final)
        reports = list(self._local_reports)
        self._local_reports.clear()
        return reports

    def sync(self) -> SyncResult:
        """Send reports, fetch the plan, update and check in; now, in this thread.

        Returns:
            The outcome of each step; errors of the network are in it, not raised.

        Raises:
            StateError: the device has no hub.
        """
        if self._link is None:
            raise StateError("this device was opened offline: it has no hub to sync with")
        with self._sync_lock, self._service.energy.syncing():
            self._fold()
            self._last_sync = result = self._link.syncer.once()
            if result.errors:
                self._service.explain_absence(f"the last sync reported {result.errors}")
            self._watch.look(self._repeaters)
            return result

    def status(self) -> dict[str, Any]:
        """Return the state of the device as plain values, ready for JSON."""
        status = {
            **self._service.status(),
            "offline": self._link is None,
            "resources": self._resources.sample(),
        }
        if self._link is not None:
            last = self._last_sync
            status |= self._link.status() | {"last_sync": None if last is None else vars(last)}
        return self._watch.completed(status)

    def on_event(self, callback: Callable[[LocalEvent], Any]) -> Callable[[], None]:
        """Call ``callback`` with each event from now on; return a function that ends that.

        It is called on a thread of its own with a
        :class:`~edge_sdk.fleet.local_events.LocalEvent`: a release serves, was refused or taken
        back, an update waits, something is degraded, or back. It may call any method. What
        happened before is in ``status()["events"]``.

        Raises:
            InputError: it is no function.
        """
        return self._watch.events.subscribe(callback)

    def close(self, timeout: float = CLOSE_SECONDS) -> None:
        """Stop the threads, save the open windows, and send what one request can send.

        A download in progress stops here; the next start resumes it.

        Args:
            timeout: seconds that it may take, whatever the hub and the network do.
        """
        deadline = Deadline(timeout)
        # The client first: a sync thread that waits for the network would not stop in time.
        if self._link is not None:
            self._link.client.interrupt()
        for repeater in self._repeaters:
            repeater.stop(timeout=deadline.left(reserve=0.25))
        self._repeaters = []
        self._watch.say_closed()
        if self._link is not None:
            # A sync that does not end in time finds the store closed, which is an error to it.
            synced = self._sync_lock.acquire(timeout=deadline.left(reserve=0.25))
            try:
                self._service.collect(final=True)
                self._service.close()
                if self._rollout is not None:
                    self._rollout.close()
                self._link.hand_over(deadline.left())
            finally:
                self._link.store.close()
                if synced:
                    self._sync_lock.release()
        self._service.close()
        self._watch.close(deadline.left())

    def __repr__(self) -> str:
        serving = self._service.status()
        what = "{model} {version}".format(**serving) if serving["version"] else "without a release"
        return f"<EdgeDevice {what}, {'offline' if self._link is None else self._link.client.url}>"

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
        service: ActiveReleases,
        link: FleetLink | None = None,
        schedule: SyncSchedule | None = None,
    ) -> None:
        """Set every attribute, for devices with a hub and without."""
        self._config = config
        self._service = service
        self._link = link
        self._schedule = schedule
        self._rollout = None  # it needs the link and the service, and follows them
        self._local_reports = deque(maxlen=LOCAL_REPORTS)
        self._last_sync = None
        self._sync_lock = threading.Lock()  # sync() may be called while the sync thread runs
        self._repeaters = []
        self._resources = ResourceUse()
        self._sequence = Stream(service.current)
        self._watch = DeviceWatch(config, service, link, self.status)

    def _start_threads(self, background: bool) -> None:
        if background:
            self._repeaters = [Repeater("edge-fold", self._fold)]
            if self._link is not None:
                self._repeaters.append(Repeater("edge-sync", self._sync_again))
        for repeater in self._repeaters:
            repeater.start()

    def _activate(self, slot: Slot) -> None:
        assert self._rollout is not None
        self._rollout.activate(slot)

    def _follow_plan(self) -> None:
        if self._rollout is not None:
            self._rollout.renew()

    def _use_entities(self, pack: EntityPredictions | None) -> None:
        self._service.use_entities(pack)

    def _send(self, bodies: list[Body]) -> None:
        """Put messages into the outbox, or into memory without a hub."""
        if self._link is None:
            self._local_reports.extend(bodies)
        elif bodies:
            self._link.keep(bodies)

    def _fold(self) -> float:
        """Run one round of the telemetry thread; return the seconds until the next."""
        self._service.collect()
        self._service.check_files()
        if self._rollout is not None:
            self._rollout.watch()
        self._watch.look(self._repeaters)
        return self._watch.thrift.fold_seconds()

    def _sync_again(self) -> float:
        """Run one round of the sync thread; return the seconds until the next."""
        assert self._schedule is not None
        return self._watch.thrift.sync_seconds(self._schedule.after(self.sync()))


class _OfflineDevice(EdgeDevice):
    """Device without a hub; see :meth:`EdgeDevice.offline`."""

    def __init__(
        self, folder: str | Path, files: OfflineFiles, config: DeviceConfig,
        energy: Meter | None, clock: Callable[[], float], reporting: Reporting | None,
        background: bool,
    ) -> None:  # fmt: skip
        # EdgeDevice.__init__ would enrol: both end in _assemble and _start_threads instead.
        check_opening(config)
        check_one_experiment(files)
        terms = offline_terms(reporting)
        service = ActiveReleases(config, LOCAL_BOOT, self._send, energy_use(energy), clock)
        self._assemble(config, service)
        serve_offline(service, folder, files, terms, config)
        self._start_threads(background=background)
