"""EdgeDevice: the one class that an application needs.

Invariants:

* ``predict`` never waits for a fold, a report, a sync or an update: those run on two daemon
  threads, and an update replaces the serving release by one assignment.
* Without a hub, or while it is away, everything but updating and the cloud goes on working.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from edge_sdk.config import DeviceConfig
from edge_sdk.contract.manifest import Label
from edge_sdk.contract.serving_terms import Reporting
from edge_sdk.errors import EdgeError, StateError
from edge_sdk.fleet.active_releases import ActiveReleases
from edge_sdk.model.prediction import BatchPrediction, Prediction
from edge_sdk.model.release import Release
from edge_sdk.serving.predictor import ServingTerms
from edge_sdk.serving.ranking import Ranking
from edge_sdk.serving.stream import Stream
from edge_sdk.system.repeater import Repeater
from edge_sdk.telemetry.energy import EnergyUse, energy_use
from edge_sdk.telemetry.resources import ResourceUse
from edge_sdk.validation import check_opening

if TYPE_CHECKING:  # not needed at start; some bring requests and tuf
    from edge_sdk.contract.messages import Body
    from edge_sdk.fleet.connection import FleetLink
    from edge_sdk.fleet.rollout import RolloutController
    from edge_sdk.model.explain import Explanation, Scale
    from edge_sdk.packs.entity_features import EntityFeatures
    from edge_sdk.packs.reader import Pack
    from edge_sdk.telemetry.label_store import LabelStore
    from edge_sdk.telemetry.meters import Meter
    from edge_sdk.update.slots import Slot
    from edge_sdk.update.syncer import SyncResult, SyncSchedule

OFFLINE: Final = ServingTerms(reporting=Reporting(votes=0))
TRIED: Final = ServingTerms("offline", "candidate", OFFLINE.reporting)
REPORTS: Final = 1_000
"""Reports that an offline device keeps; older ones go."""


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
        energy: your own meter, a function that returns the joules that the device drew so far;
            without it what the machine counts by itself, if it does. :mod:`edge_sdk.meters` helps.
        background: sync and fold on daemon threads; without it call :meth:`sync`.
        clock: Unix seconds, which windows of reports and expiry go by.

    Raises:
        StateError: the folder is in use, not writable, or another model's; ``energy`` is no
            function.
        HubError: the device is not enrolled and the hub refuses or cannot be reached.
        EdgeError: an argument is not what it should be.
    """

    _link: FleetLink | None
    _keeper: RolloutController | None
    _last_sync: SyncResult | None
    _repeaters: list[Repeater]
    _rhythm: SyncSchedule
    _reports: deque[Body]

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
        energy: Meter | None = None,
        background: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        from edge_sdk.fleet.connection import Enrolment, FleetLink
        from edge_sdk.fleet.rollout import RolloutController
        from edge_sdk.telemetry.label_store import LabelStore
        from edge_sdk.update.syncer import SyncSchedule

        check_opening(config, share)
        use = energy_use(energy)
        how = Enrolment(state, hub, model, token, attributes, root, share, verify)
        link = FleetLink(how, config, self._activate, self._follow_plan, clock)
        labels = LabelStore(link.store, config.kept_predictions)
        self._prepare(config, link.boot, use, clock, labels)
        self._link, self._rhythm = link, SyncSchedule(config)
        self._keeper = RolloutController(link, self._service, config)
        try:
            self._keeper.start()
            if self._service.serving is None:
                self.sync()
        except BaseException:
            with contextlib.suppress(EdgeError):
                self._keeper.close()
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
        shadow: str | Path | None = None,
        interleave: str | Path | None = None,
        config: DeviceConfig = DeviceConfig(),
        energy: Meter | None = None,
        clock: Callable[[], float] = time.time,
    ) -> Self:
        """A device that serves the release in ``folder`` and talks to nobody.

        Args:
            folder: of the release.
            pack: of answers.
            features: of entities.
            shadow: folder of a release that answers beside it; :meth:`reports` compares the two.
            interleave: folder of a release whose rankings are mixed with its own.
            config: limits.
            energy: your own meter, as above.
            clock: Unix seconds, which windows of reports go by.

        Raises:
            ReleaseError: a folder holds no whole release, or it does not run here, or takes other
                inputs than what serves.
            StateError: both ``shadow`` and ``interleave`` are given; ``energy`` is no function.
            PackError: ``pack`` or ``features`` is not for this release, torn or expired.
        """
        check_opening(config)
        if shadow is not None and interleave is not None:
            raise StateError("expected a shadow or an interleaved release: one trial at a time")
        device = cls.__new__(cls)
        device._prepare(config, "local", energy_use(energy), clock)
        release = Release.open(folder)
        serving = device._service.open(
            release, OFFLINE, pack=_pack(pack, release), features=_features(features, release)
        )
        device._service.serve(serving)
        if shadow is not None:
            device._service.run(device._service.shadow(Release.open(shadow), TRIED))
        if interleave is not None:
            from edge_sdk.experiments.interleaving import Interleaver

            candidate = device._service.open(Release.open(interleave), TRIED)
            device._service.run(Interleaver(TRIED.arm, serving, candidate, clock=clock))
        device._start_threads(background=True)
        return device

    def predict(
        self,
        x: Any = None,
        *,
        entity: str | None = None,
        unit: str | None = None,
        groups: Mapping[str, Any] | None = None,
        deadline_ms: float | None = None,
    ) -> Prediction:
        """Answer one input: a 1-D array, a dict by column name, or a feed by tensor name.

        A model with recurrent state sees the inputs of a device as one sequence; :meth:`stream`
        makes others.

        Args:
            x: the input; with ``entity`` a dict of what is not stored, or newer than what is.
            entity: whose stored features to join, such as ``"user-42"``. An entity that is not
                stored gets the declared defaults.
            unit: for whom it is asked, such as ``"user-42"``: while the plan runs an A/B by key,
                the same unit is always answered by the same version. It does not leave the device.
            groups: to which groups it belongs, such as ``{"sex": "f"}``, of the columns that the
                release declares and the model does not take (a dict may have them as well). They
                are counted, and mean nothing to a release that does not declare them.
            deadline_ms: this call waits so long for the cloud, instead of as long as the plan says;
                0 means not at all. The on-device model answers where the cloud does not in time.

        Raises:
            InputError: the input does not fit; the message names the feature.
            ReleaseError: there is no release yet, or the model failed on this input.
        """
        service = self._service
        serving = service.serving
        if serving is None or unit is not None:
            serving = service.serving_for(unit)
        if entity is not None:
            x = serving.joined(entity, x)
        if serving.stateful:
            return self._sequence.predict(x, deadline_ms=deadline_ms, groups=groups)
        if deadline_ms is None:
            return serving.predict(x, groups)
        return serving.predict_any(x, deadline_ms=deadline_ms, groups=groups)

    def predict_ranking(
        self,
        x: Any,
        *,
        candidates: Sequence[Hashable] | None = None,
        length: int | None = None,
        unit: str | None = None,
    ) -> Ranking:
        """Items, best first; :mod:`edge_sdk.ranking` says which models rank.

        While the plan interleaves two versions, this may be a list that both picked in turn. Tell
        :meth:`feedback` what was clicked on, an empty list included.

        Args:
            x: a row for each of ``candidates``; or, without them, one input of a model that scores
                all of its items at once.
            candidates: what is ranked, each once.
            length: how many items to show at most; all, if not given.
            unit: as for :meth:`predict`.

        Raises:
            InputError: the input does not fit, or this model gives no scores.
            ReleaseError: there is no release yet, or the model failed.
        """
        return self._service.ranking(x, candidates, length, unit)

    def stream(self) -> Stream:
        """A sequence of its own through a model with recurrent state."""
        return Stream(self._service.current)

    def predict_batch(
        self, x: Any, *, unit: str | None = None, groups: Mapping[str, Any] | None = None
    ) -> BatchPrediction:
        """Answer N inputs (2-D array, list of rows or dicts, DataFrame) with the on-device model.

        ``unit`` is as for :meth:`predict`, for all of them; ``groups`` holds N values by column.

        Raises:
            InputError: there are no rows, or one does not fit.
            ReleaseError: there is no release yet, or the model failed.
        """
        return self._service.serving_for(unit).predict_batch(x, groups)

    def explain(self, x: Any, *, scale: Scale = "probability") -> Explanation:
        """Each feature's part in the on-device model's answer to ``x``; nothing is counted.

        Args:
            x: one input, as for :meth:`predict`.
            scale: of a classifier: ``log-odds`` add up where a model is logistic.

        Raises:
            InputError: the input does not fit, or the model has no rows of named features.
            ReleaseError: there is no release yet, or the model failed.
        """
        from edge_sdk.model.explain import explain

        serving = self._service.current()
        x, _ = serving.monitor.grouping.split(x, None)
        return explain(serving.release, serving.model, x, scale)

    def feedback(
        self,
        prediction: str,
        *,
        label: Label | float | None = None,
        reward: float | None = None,
        clicks: Sequence[Hashable] | None = None,
    ) -> None:
        """Tell what was right (``label``), how well it went (``reward``), or which items of a
        ranking were clicked on (``clicks``), by prediction id; each once.

        Raises:
            InputError: the prediction is unknown or too old, the label is none of the classes, an
                item was not shown, or it came already.
        """
        self._service.feedback(prediction, label, reward, clicks)

    def reports(self) -> list[Body]:
        """What an offline device would have told a hub since the last call; windows end now.

        Raises:
            StateError: the device has a hub, which gets them.
        """
        if self._link is not None:
            raise StateError("this device has a hub: its reports wait in the outbox for it")
        self._service.collect(final=True)
        kept = list(self._reports)
        self._reports.clear()
        return kept

    def sync(self) -> SyncResult:
        """Send reports, fetch the plan, update, check in; now, in this thread.

        Raises:
            StateError: the device is offline by construction.
        """
        if self._link is None:
            raise StateError("this device was opened offline: it has no hub to sync with")
        with self._sync_lock:
            self._fold()
            self._last_sync = result = self._link.syncer.once()
            if result.errors:
                self._service.explain_absence(f"the last sync reported {result.errors}")
            return result

    def status(self) -> dict[str, Any]:
        """How the device is, as plain values."""
        status = {
            **self._service.status(),
            "offline": self._link is None,
            "resources": self._resources.sample(),
        }
        if self._link is not None:
            last = self._last_sync
            status |= self._link.status() | {"last_sync": None if last is None else vars(last)}
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
                    self._service.collect(final=True)
                    self._service.close()
                    if self._keeper is not None:
                        self._keeper.close()
                    self._link.hand_over()
                finally:
                    self._link.store.close()
        self._service.close()

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

    def _prepare(
        self,
        config: DeviceConfig,
        boot: str,
        energy: EnergyUse,
        clock: Callable[[], float],
        labels: LabelStore | None = None,
    ) -> None:
        self._config = config
        self._link = None
        self._keeper = None
        self._service = ActiveReleases(config, boot, self._keep, energy, clock, labels)
        self._reports = deque(maxlen=REPORTS)
        self._last_sync = None
        self._sync_lock = threading.Lock()
        self._repeaters = []
        self._resources = ResourceUse()
        self._sequence = Stream(self._service.current)

    def _start_threads(self, background: bool) -> None:
        if background:
            self._repeaters = [Repeater("edge-fold", self._fold)]
            if self._link is not None:
                self._repeaters.append(Repeater("edge-sync", self._sync_again))
        for repeater in self._repeaters:
            repeater.start()

    def _activate(self, slot: Slot) -> None:
        assert self._keeper is not None
        self._keeper.activate(slot)

    def _follow_plan(self) -> None:
        if self._keeper is not None:
            self._keeper.renew()

    def _keep(self, bodies: list[Body]) -> None:
        if self._link is None:
            self._reports.extend(bodies)
        elif bodies:
            self._link.keep(bodies)

    def _fold(self) -> float:
        """One round of the fold thread; the seconds until the next."""
        self._service.collect()
        if self._keeper is not None:
            self._keeper.watch()
        return self._config.fold_seconds

    def _sync_again(self) -> float:
        """One round of the sync thread; the seconds until the next."""
        return self._rhythm.after(self.sync())


def _pack(path: str | Path | None, release: Release) -> Pack | None:
    if path is None:
        return None
    from edge_sdk.packs.reader import (
        Pack,  # with all that reads its format: only where there is one
    )

    return Pack.open(path, release)


def _features(path: str | Path | None, release: Release) -> EntityFeatures | None:
    if path is None:
        return None
    from edge_sdk.packs.entity_features import EntityFeatures

    return EntityFeatures.open(path, release)
