"""EdgeDevice: the one class that an application needs.

Invariants:

* ``predict`` never waits for a fold, a report, a sync or an update: those run on two daemon
  threads, and an update replaces the serving release by one assignment.
* A replaced release still takes labels for predictions that it made, for :data:`RETIRED` swaps.
* Without a hub, or while it is away, everything but updating and the cloud goes on working.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from edge_sdk.background import Repeater
from edge_sdk.config import DeviceConfig
from edge_sdk.contract.manifest import Label
from edge_sdk.contract.messages import Body
from edge_sdk.contract.pack import ENTITY
from edge_sdk.contract.plan import Reporting
from edge_sdk.errors import EdgeError, InputError, ReleaseError, StateError, UpdateError
from edge_sdk.pack import usable
from edge_sdk.prediction import BatchPrediction, Prediction
from edge_sdk.release import Release
from edge_sdk.resources import ResourceUse
from edge_sdk.serving import NOTHING_SERVES, Serving, Terms
from edge_sdk.stream import Stream

if TYPE_CHECKING:  # an offline device needs none of these, and they bring requests and tuf
    from edge_sdk.fleet_link import FleetLink
    from edge_sdk.sync import SyncResult
    from edge_sdk.update.slots import Slot

RETIRED: Final = 4
OFFLINE: Final = Terms(reporting=Reporting(votes=0))


class EdgeDevice:
    """A device of a fleet, or (:meth:`offline`) a release folder that answers by itself.

    Args:
        state: folder for releases, packs, reports that wait, identity; one per device.
        hub: URL of the hub.
        token: enrolment token; needed until the device has been enrolled once.
        model: whose fleet to join.
        attributes: for cohorts, such as ``{"region": "eu"}``.
        share: the owner agrees to share labelled rows for retraining, where the plan asks for them.
        root: bytes of a ``root.json`` baked into the image, instead of trust on first enrolment.
        verify: TLS certificates are checked; a path names a private CA bundle.
        config: limits and intervals.
        background: sync and fold on daemon threads; without it call :meth:`sync`.

    Raises:
        StateError: the folder is in use, not writable, or another model's.
        HubError: the device is not enrolled and the hub refuses or cannot be reached.
    """

    _link: FleetLink | None
    _serving: Serving | None
    _retired: deque[Serving]
    _last_sync: SyncResult | None
    _repeaters: list[Repeater]

    def __init__(
        self,
        state: str | Path,
        *,
        hub: str,
        token: str | None = None,
        model: str | None = None,
        attributes: Mapping[str, str] | None = None,
        share: bool = False,
        root: bytes | None = None,
        verify: bool | str = True,
        config: DeviceConfig = DeviceConfig(),
        background: bool = True,
    ) -> None:
        from edge_sdk.fleet_link import Enrolment, FleetLink

        self._prepare(config)
        how = Enrolment(Path(state), hub, model, token, attributes, root, share, verify)
        self._link = link = FleetLink(how, config, self._activate, time.time)
        link.on_plan = self._renew_terms
        try:
            self._start_serving(link)
            if self._serving is None:
                self.sync()
        except BaseException:
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
        config: DeviceConfig = DeviceConfig(),
    ) -> Self:
        """A device that serves the release in ``folder`` and talks to nobody.

        Raises:
            ReleaseError: the folder holds no whole release, or it does not run here.
            PackError: ``pack`` or ``features`` is not for this release, torn or expired.
        """
        device = cls.__new__(cls)
        device._prepare(config)
        device._serving = Serving(
            Release.open(folder),
            OFFLINE,
            tag=device._next_tag(),
            pack=None if pack is None else Path(pack),
            features=None if features is None else Path(features),
            monitoring=config.monitoring,
            threads=config.threads,
        )
        device._start_threads(background=True)
        return device

    def predict(
        self, x: Any = None, *, entity: str | None = None, deadline_ms: float | None = None
    ) -> Prediction:
        """Answer one input: a 1-D array, a dict by column name, or a feed by tensor name.

        A model with recurrent state sees the inputs of a device as one sequence; :meth:`stream`
        makes others.

        Args:
            x: the input; with ``entity`` a dict of what is not stored, or newer than what is.
            entity: whose stored features to join, such as ``"user-42"``. An entity that is not
                stored gets the declared defaults.
            deadline_ms: this call waits so long for the cloud, instead of as long as the plan says;
                0 means not at all. The on-device model answers where the cloud does not in time.

        Raises:
            InputError: the input does not fit; the message names the feature.
            ReleaseError: there is no release yet, or the model failed on this input.
        """
        serving = self._serving
        if serving is None:
            raise self._nothing_to_serve()
        if entity is not None:
            x = serving.joined(entity, x)
        if serving.stateful:
            return self._sequence.predict(x, deadline_ms=deadline_ms)
        if deadline_ms is None:
            return serving.predict(x)
        return serving.predict_any(x, deadline=deadline_ms / 1e3)

    def stream(self) -> Stream:
        """A sequence of its own through a model with recurrent state."""
        return Stream(self._current)

    def predict_batch(self, x: Any) -> BatchPrediction:
        """Answer N inputs (2-D array, list of rows or dicts, DataFrame) with the on-device model.

        Raises:
            InputError: there are no rows, or one does not fit.
            ReleaseError: there is no release yet, or the model failed.
        """
        return self._current().predict_batch(x)

    def feedback(
        self, prediction: str, *, label: Label | float | None = None, reward: float | None = None
    ) -> None:
        """Tell what was right (``label``) or how well it went (``reward``), by prediction id.

        Raises:
            InputError: the prediction is unknown or too old, the label is none of the classes, or
                it came already.
        """
        tag, _, number = prediction.rpartition("-")
        servings = [self._serving, *self._retired]
        serving = next((s for s in servings if s is not None and s.tag == tag), None)
        if serving is None:
            if self._serving is not None:
                self._serving.monitor.record_error("unknown_prediction")
            raise InputError(
                "unknown_prediction",
                f"expected the id of a recent prediction of this process, got {prediction!r:.60}",
            )
        serving.feedback(number, label, reward)

    def sync(self) -> SyncResult:
        """Send reports, fetch the plan, update, check in; now, in this thread.

        Raises:
            StateError: the device is offline by construction.
        """
        if self._link is None:
            raise StateError("this device was opened offline: it has no hub to sync with")
        with self._sync_lock:
            self._collect()
            self._last_sync = result = self._link.syncer.once()
            return result

    def status(self) -> dict[str, Any]:
        """How the device is, as plain values."""
        serving, link = self._serving, self._link
        status: dict[str, Any] = {
            **(serving.status() if serving else NOTHING_SERVES),
            "offline": link is None,
            "resources": self._resources.sample(),
        }
        if link is not None:
            checkin = link.describe()
            status |= {
                "device": link.identity.device,
                "hub": link.client.url,
                "plan": checkin.plan,
                "phase": checkin.phase,
                "waiting": checkin.waiting,
                "sharing": link.share,
                "failures": dict(link.updater.failures()),
                "last_sync": vars(self._last_sync) if self._last_sync else None,
            }
        return status

    def close(self) -> None:
        """Stop the threads, keep what was counted, hand over what the hub takes at once.

        A download under way ends here; the next start resumes it.
        """
        if self._link is not None:
            self._link.client.interrupt()
        for repeater in self._repeaters:
            repeater.stop(timeout=self._config.request_seconds)
        self._repeaters = []
        if self._link is not None:
            with self._sync_lock:
                try:
                    self._collect(final=True)
                    self._link.hand_over()
                finally:
                    self._link.store.close()
        for serving in (self._serving, *self._retired):
            if serving is not None:
                serving.close()
        self._serving = None
        self._retired.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def _prepare(self, config: DeviceConfig) -> None:
        self._config = config
        self._link = None
        self._serving = None
        self._retired = deque()
        self._tags = 0
        self._failures = 0
        self._counting_since = time.monotonic()
        self._last_sync = None
        self._sync_lock = threading.Lock()
        self._collect_lock = threading.Lock()
        self._repeaters = []
        self._random = random.Random()
        self._resources = ResourceUse()
        self._sequence = Stream(self._current)

    def _start_threads(self, background: bool) -> None:
        if background:
            self._repeaters = [Repeater("edge-fold", self._fold)]
            if self._link is not None:
                self._repeaters.append(Repeater("edge-sync", self._sync_again))
        for repeater in self._repeaters:
            repeater.start()

    def _start_serving(self, link: FleetLink) -> None:
        """Serve what was left by the last run; an interrupted activation is finished or undone.

        What cannot be loaded any more gives way to the slot before it.
        """
        slot = link.updater.recover()
        try:
            if slot is not None and link.updater.state.phase != "activate":
                self._activate(slot)
            link.updater.finish()
        except UpdateError:
            return  # what served before was activated again
        except EdgeError as error:
            self._fall_back(link, str(error))

    def _fall_back(self, link: FleetLink, reason: str) -> None:
        while (slot := link.updater.discard(reason)) is not None:
            try:
                self._activate(slot)
            except EdgeError as error:
                reason = str(error)
            else:
                return

    def _activate(self, slot: Slot) -> None:
        """Load ``slot`` and let it answer from the next call on."""
        release = Release.open(slot.release, verify=False)
        serving = self._load(release, slot)
        with self._collect_lock:
            old, self._serving = self._serving, serving
            if old is not None:
                self._retired.appendleft(old)
        self._let_go()

    def _load(self, release: Release, slot: Slot) -> Serving:
        link = self._link_in_use()
        return Serving(
            release,
            self._terms(link),
            tag=self._next_tag(),
            pack=usable(slot.pack, release),
            features=usable(slot.features, release, ENTITY),
            cloud=link.client.predict,
            share=link.share,
            monitoring=self._config.monitoring,
            threads=self._config.threads,
        )

    def _link_in_use(self) -> FleetLink:
        assert self._link is not None
        return self._link

    def _terms(self, link: FleetLink) -> Terms:
        plan, assignment = link.plan, link.assignment
        if plan is None or assignment is None:
            return Terms()
        arm = (assignment.experiment, assignment.arm)
        return Terms(*arm, plan.reporting, plan.sharing, plan.cascade)

    def _renew_terms(self) -> None:
        """Under a new plan the same release may belong to another arm, or report otherwise."""
        link = self._link_in_use()
        current = link.updater.state.current
        if self._serving is None or current is None:
            return
        if self._terms(link) != self._serving.terms:
            slot = link.updater.slot()
            if slot is not None:
                self._activate(slot)

    def _let_go(self) -> None:
        while len(self._retired) > RETIRED:
            oldest = self._retired.pop()
            self._store_bodies(oldest.monitor.collect(time.time(), final=True))
            oldest.close()

    def _next_tag(self) -> str:
        self._tags += 1
        boot = self._link.boot if self._link is not None else "local"
        return f"{boot}.{self._tags}"

    def _fold(self) -> float:
        """One round of the fold thread."""
        self._collect()
        self._roll_back_if_failing()
        return self._config.fold_seconds

    def _collect(self, *, final: bool = False) -> None:
        with self._collect_lock:
            servings = [s for s in (self._serving, *self._retired) if s is not None]
            for serving in servings:
                self._store_bodies(serving.monitor.collect(time.time(), final=final))

    def _store_bodies(self, bodies: list[Body]) -> None:
        if self._link is not None and bodies:
            self._link.keep(bodies)

    def _roll_back_if_failing(self) -> None:
        """What a device sees failing itself, it takes back at once, hub or no hub."""
        serving = self._serving
        if self._link is None or serving is None:
            return
        if time.monotonic() - self._counting_since > self._config.trial_seconds:
            serving.errors, self._counting_since = 0, time.monotonic()
        if serving.errors >= self._config.trial_errors:
            serving.errors = 0
            self._link.updater.fail(f"the model failed on {self._config.trial_errors} inputs")

    def _sync_again(self) -> float:
        """One round of the sync thread; the seconds until the next."""
        from edge_sdk.sync import backoff, jittered

        result = self.sync()
        if result.reached:
            self._failures = 0
            return jittered(self._config.sync_seconds, self._random)
        self._failures += 1
        config = self._config
        return backoff(self._failures, config.retry_seconds, config.retry_max_seconds, self._random)

    def _current(self) -> Serving:
        serving = self._serving
        if serving is None:
            raise self._nothing_to_serve()
        return serving

    def _nothing_to_serve(self) -> ReleaseError:
        if self._last_sync is not None and self._last_sync.errors:
            return ReleaseError(f"no release yet; the last sync said {self._last_sync.errors}")
        return ReleaseError("no release yet: the hub has no plan for this model, or it is closed")
