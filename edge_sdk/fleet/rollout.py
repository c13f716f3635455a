"""Keeps what answers on a device in step with what its plan wants and its disk holds.

Invariants:

* What a device sees failing itself, it takes back at once, hub or no hub; from then on it answers
  and reports for no arm of that experiment.
* What cannot be loaded any more gives way to the slot before it.
"""

from __future__ import annotations

import threading
import time
import weakref
from typing import TYPE_CHECKING

from edge_sdk.contract.key import ENTITY
from edge_sdk.contract.names import CONTROL
from edge_sdk.errors import EdgeError, UpdateError
from edge_sdk.experiments.ab_by_key import Arms
from edge_sdk.experiments.base import RunningExperiment, check_same_inputs
from edge_sdk.experiments.interleaving import Interleaver
from edge_sdk.model.release import Release
from edge_sdk.packs.entity_features import EntityFeatures
from edge_sdk.packs.reader import usable
from edge_sdk.serving.predictor import Predictor, ServingTerms

if TYPE_CHECKING:
    from edge_sdk.config import DeviceConfig
    from edge_sdk.experiments.crash_marker import CrashMarker
    from edge_sdk.fleet.active_releases import ActiveReleases
    from edge_sdk.fleet.connection import FleetLink
    from edge_sdk.update.slots import Slot
    from edge_sdk.update.state import SlotRef
    from edge_sdk.update.targets import RunningCandidates
    from edge_sdk.update.updater import Updater


class RolloutController:
    """Between the link, which brings releases and plans, and the service, which answers."""

    def __init__(self, link: FleetLink, service: ActiveReleases, config: DeviceConfig) -> None:
        self._link = link
        self._updater = link.updater
        self._service = service
        self._config = config
        self._beside: RunningCandidates | None = None
        self._unsettled = False
        self._owed: tuple[SlotRef | None, str] | None = None
        self._survived = weakref.finalize(self, _survived, self._updater, link.mark)
        self._counting_since = time.monotonic()
        self._lock = threading.RLock()

    def start(self) -> None:
        """Serve what the last run left; an interrupted activation is finished or undone."""
        updater = self._updater
        slot = updater.recover()
        try:
            if slot is not None and updater.state.phase != "activate":
                self.activate(slot)
            updater.finish()
        except UpdateError:
            pass  # what served before was activated again
        except EdgeError as error:
            self._fall_back(str(error))
        self._accuse()
        self.renew()

    def _accuse(self) -> None:
        """What ran beside when the last process ended without a word is given up."""
        left, updater = self._link.mark.left, self._updater
        for slot in updater.state.held:
            if left is not None and left.guilty and left.manifest == slot.manifest:
                updater.fail("the process ended while it ran", slot)

    def _fall_back(self, reason: str) -> None:
        while (slot := self._updater.discard(reason)) is not None:
            try:
                self.activate(slot)
            except EdgeError as error:
                reason = str(error)
            else:
                return

    def activate(self, slot: Slot) -> None:
        """Load ``slot`` and let it answer from the next call on.

        Raises:
            ReleaseError: it does not load.
        """
        with self._lock:
            standing = self._link.standing()
            serving = self._load(slot, self._terms(standing.experiment, standing.arm))
            self._beside = None
            self._service.serve(serving)

    def renew(self) -> None:
        """Under a new plan what serves may belong to another arm, report otherwise, have company.

        What an experiment needs and does not load here has failed: the device leaves it.
        """
        with self._lock:
            slot = self._updater.slot()
            if slot is None or self._service.serving is None:
                return
            standing = self._link.standing()
            terms = self._terms(standing.experiment, standing.arm)
            if terms != self._service.serving.terms:
                self.activate(slot)
            if standing.beside != self._beside:
                self._unsettled = not self._settle(standing.beside, slot)

    def close(self) -> None:
        """This process ends on purpose, which tells nothing against what is on trial.

        A process that just returns does the same.
        """
        self._survived()

    def watch(self) -> None:
        """Look whether something fails, and whether what was on trial has answered."""
        if time.monotonic() - self._counting_since > self._config.trial_seconds:
            self._counting_since = time.monotonic()
            self._service.forget_errors()
        if self._unsettled:
            self.renew()
        self._take_back()
        self._prove()

    def _terms(self, experiment: str | None, arm: str) -> ServingTerms:
        plan = self._link.plan
        if plan is None:
            return ServingTerms()
        return ServingTerms(experiment, arm, plan.reporting, plan.sharing, plan.cascade)

    def _load(self, slot: Slot, terms: ServingTerms) -> Predictor:
        release = Release.open(slot.release, verify=False)
        features = usable(slot.features, release, ENTITY)
        return self._service.open(
            release,
            terms,
            pack=usable(slot.pack, release),
            features=EntityFeatures(features) if features is not None else None,
            cloud=self._link.client.predict,
            share=self._link.share,
        )

    def _settle(self, beside: RunningCandidates | None, slot: Slot) -> bool:
        """Run ``beside``; whether that is settled. What does not load here has failed."""
        self._beside = None
        self._service.run(None)
        if beside is None:
            return True
        for arm, ref in beside.candidates:
            try:
                release = Release.open(self._updater.slot_of(ref).release, verify=False)
                check_same_inputs(self._service.current().release, release)
            except EdgeError as error:
                return self._fail(ref, f"arm {arm}: {error}")
        self._updater.try_out([ref for _, ref in beside.candidates])
        try:
            self._service.run(self._running(beside, slot))
        except EdgeError as error:
            return self._fail(beside.candidates[0][1], str(error))
        self._beside = beside
        return True

    def _running(self, beside: RunningCandidates, slot: Slot) -> RunningExperiment:
        trial, service = beside.experiment, self._service
        slots = {arm: self._updater.slot_of(ref) for arm, ref in beside.candidates}
        if trial.strategy == "shadow":
            ((arm, found),) = slots.items()
            candidate = Release.open(found.release, verify=False)
            terms = self._terms(trial.id, arm)
            return service.shadow(candidate, terms, trial.share, self._link.mark)
        if trial.unit == "key":
            slots = {CONTROL: slot, **slots}
        arms = {arm: self._load(found, self._terms(trial.id, arm)) for arm, found in slots.items()}
        if trial.unit == "key":
            return Arms(trial, self._link.attributes, arms)
        ((arm, serving),) = arms.items()
        return Interleaver(
            arm, service.current(), serving, sampled=trial.share, clock=service.clock
        )

    def _take_back(self) -> None:
        errors, serving = self._config.trial_errors, self._service.serving
        if serving is not None and serving.errors >= errors:
            self._fail(None, f"the model failed on {errors} inputs")
        running, beside = self._service.running, self._beside
        trouble = running.trouble(time.monotonic(), errors) if running is not None else None
        if trouble is not None and beside is not None:
            arm, reason = trouble
            self._service.run(None)  # now, even if an update is under way
            self._owed = (dict(beside.candidates).get(arm), reason)
        if self._owed is not None and self._fail(*self._owed):
            self._owed = None

    def _fail(self, ref: SlotRef | None, reason: str) -> bool:
        """Go back from what serves, or do without ``ref``; whether that could be done now."""
        done = self._updater.fail(reason, ref) is not None
        if done:
            self.renew()
        return done

    def _prove(self) -> None:
        """Note what has answered, and try out what has not."""
        trial, serving, beside = self._updater.trial, self._service.serving, self._beside
        candidates = beside.candidates if beside is not None else ()
        if trial is None or serving is None:
            return
        running = self._service.running
        arms = [arm for arm, ref in candidates if ref == trial]
        if arms:
            answered = running is not None and any(map(running.answered, arms))
        else:
            serving.monitor.fold()
            answered = serving.monitor.answered
        if answered or not self._config.monitoring:
            self._updater.prove(trial)
            self._updater.try_out([ref for _, ref in candidates])


def _survived(updater: Updater, mark: CrashMarker) -> None:
    mark.close()
    updater.survived()
