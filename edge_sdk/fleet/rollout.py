"""The rollout of one model on a device: what answers follows its plan and what the disk holds.

Invariants:

* What a device sees failing itself, it takes back at once, hub or no hub; from then on it answers
  and reports for no arm of that experiment.
* What cannot be loaded any more gives way to the slot before it.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from edge_sdk.contract.key import ENTITY
from edge_sdk.contract.names import CONTROL, CPU
from edge_sdk.errors import EdgeError, UpdateError
from edge_sdk.experiments.ab_by_key import Arms
from edge_sdk.experiments.base import RunningExperiment, check_same_inputs
from edge_sdk.experiments.interleaving import Interleaver
from edge_sdk.fleet.personal_priors import PriorOpener
from edge_sdk.packs.entity_features import EntityFeatures
from edge_sdk.packs.reader import usable
from edge_sdk.serving.predictor import Predictor
from edge_sdk.serving.terms import ServingTerms
from edge_sdk.system.logs import Log

if TYPE_CHECKING:
    from edge_sdk.config import DeviceConfig
    from edge_sdk.experiments.crash_marker import CrashMarker
    from edge_sdk.fleet.active_releases import ActiveReleases
    from edge_sdk.fleet.model_link import ModelLink
    from edge_sdk.update.certifier import Certifier
    from edge_sdk.update.slots import Slot
    from edge_sdk.update.state import SlotRef
    from edge_sdk.update.targets import CurrentAssignment, RunningCandidates
    from edge_sdk.update.updater import Updater


_log = Log(__name__)


class RolloutController:
    """Keeps what serves, and the experiment beside it, in step with the plan.

    Args:
        link: brings releases and plans.
        service: answers.
        config: limits of a release on trial.
        ask_again: has the next sync follow the plan even if nothing has changed on the hub.
    """

    def __init__(
        self,
        link: ModelLink,
        service: ActiveReleases,
        config: DeviceConfig,
        ask_again: Callable[[], None],
    ) -> None:
        self._ask_again = ask_again
        self._link = link
        self._updater = link.updater
        self._service = service
        self._config = config
        self._beside: RunningCandidates | None = None
        self._experiment: str | None = None
        self._unsettled = False
        self._priors = PriorOpener(link.updater.refused)
        self._failed: tuple[SlotRef | None, str] | None = None
        """A failure that waits until no update is in progress, and its reason."""
        end = (self._updater, link.crash_marker, link.certifier, os.getpid())
        self._clean_exit = weakref.finalize(self, _clean_exit, *end)
        self._counting_since = time.monotonic()
        self._lock = threading.RLock()

    @property
    def prior_trouble(self) -> str | None:
        """Return why what serves does so without its personal prior; ``None`` if it does not."""
        return self._priors.trouble(self._updater.state.current)

    def start(self) -> None:
        """Serve what the last run left; an interrupted activation is finished or undone."""
        self._link.entities.restore()
        self._link.clear_sessions()
        updater = self._updater
        slot = updater.recover()
        try:
            # An interrupted activation is run again by finish(): loading here would do it twice.
            if slot is not None and updater.state.phase != "activate":
                self.activate(slot)
            updater.finish()
        except UpdateError:
            pass  # what served before was activated again
        except EdgeError as error:
            self._fall_back(str(error))
        self._blame_crash()
        self._complete()
        self.renew()

    def _complete(self) -> None:
        """Have files brought that are not here because this device has more providers by now."""
        for ref in self._updater.state.here:
            if self._link.certifier.lacks(self._updater.slot_of(ref)):
                self._updater.repairs.add(ref)
                self._ask_again()

    def _blame_crash(self) -> None:
        """Give up the candidate that ran when the last process ended without a word."""
        crashed, updater = self._link.crash_marker.crashed, self._updater
        for slot in updater.state.held:
            if crashed is not None and crashed.guilty and crashed.manifest == slot.manifest:
                updater.fail("the process ended while it ran", slot)

    def _fall_back(self, reason: str) -> None:
        """Serve the newest slot that loads; the damaged ones before it are removed."""
        first = reason
        while (slot := self._updater.discard(reason)) is not None:
            try:
                self.activate(slot)
            except EdgeError as error:
                reason = str(error)
            else:
                break
        self._service.lose(first)

    def activate(self, slot: Slot) -> None:
        """Load ``slot`` and let it answer from the next call on.

        Raises:
            ReleaseError: it does not load.
        """
        with self._lock:
            self._use_sessions()
            assignment = self._link.current_assignment()
            predictor = self._load(slot, self._terms(assignment.experiment, assignment.arm))
            self._beside = None
            self._service.serve(predictor)

    def renew(self) -> None:
        """Apply the current plan's terms to what serves, and run the experiment that it names.

        What an experiment needs and does not load here has failed: the device leaves it.
        """
        with self._lock:
            self._use_sessions()
            slot = self._updater.slot()
            if slot is None or self._service.serving is None:
                return
            assignment = self._link.current_assignment()
            terms = self._terms(assignment.experiment, assignment.arm)
            stays = self._link.certifier.is_current(slot)
            if terms != self._service.serving.terms or not stays:
                self.activate(slot)
            if assignment.beside != self._beside:
                self._unsettled = not self._run_beside(assignment.beside, slot)
            self._log_experiment(assignment)

    def _use_sessions(self) -> None:
        """Keep the session features that the plan declares; another declaration begins anew."""
        plan, before = self._link.plan, self._service.sessions
        declared = None if plan is None else plan.sessions
        if declared == (None if before is None else before.declared):
            return
        opened = None if declared is None else self._link.opened_sessions(declared)
        if not self._service.use_sessions(opened) and opened is not None:
            _log.info("session features are %s now: sessions begin anew", opened.declared.ref)
        self._link.clear_sessions()

    def _log_experiment(self, assignment: CurrentAssignment) -> None:
        """Log which experiment begins or ends on this device."""
        beside = self._beside
        now = beside.experiment.id if beside is not None else assignment.experiment
        if now == self._experiment:
            return
        if self._experiment is not None:
            _log.info("experiment %s ended here", self._experiment)
        if beside is not None:
            arms = ", ".join(f"{arm} ({ref.version})" for arm, ref in beside.candidates)
            _log.info("experiment %s (%s) begun here: %s", now, beside.experiment.strategy, arms)
        elif now is not None:
            _log.info("experiment %s begun here: this device is on arm %s", now, assignment.arm)
        self._experiment = now

    def close(self) -> None:
        """End on purpose, which tells nothing against a release on trial.

        A process that just returns does the same.
        """
        self._clean_exit()

    def watch(self) -> None:
        """Take back what fails, confirm what was on trial once it has answered, and have what the
        disk has damaged brought again.
        """
        if time.monotonic() - self._counting_since > self._config.trial_seconds:
            self._counting_since = time.monotonic()
            self._service.forget_errors()
        if self._unsettled:
            self.renew()
        self._take_back()
        self._confirm()
        for release, what in self._service.new_damage():
            _log.warning("damaged on the disk, to be fetched again: %s", what)
            self._updater.note_damage(release.digest, what)
            self._ask_again()

    def _terms(self, experiment: str | None, arm: str) -> ServingTerms:
        plan = self._link.plan
        if plan is None:
            return ServingTerms()
        sharing = plan.sharing.at_most(self._config.shared_tensor_bytes)
        return ServingTerms(
            experiment, arm, plan.reporting, sharing, plan.cascade, plan.personalise
        )

    def _load(self, slot: Slot, terms: ServingTerms) -> Predictor:
        # The manifest is checked here, model and profile as they are read, the rest by a thread.
        release = self._link.certifier.opened(slot)
        damage: dict[str, str] = {}
        pack = usable(slot.pack, release, partial(damage.__setitem__, "pack"))
        features = usable(slot.features, release, partial(damage.__setitem__, "features"), ENTITY)
        # With the terms: where the plan has switched personalisation off, no prior is opened.
        if terms.personalise is not None:
            prior = self._priors.open(slot, release, partial(damage.__setitem__, "prior"))
        else:
            prior = None
        predictor = self._service.open(
            release,
            terms,
            pack=pack,
            features=EntityFeatures(features) if features is not None else None,
            cloud=self._link.shared.client.predict,
            share=self._link.shared.share,
            prior=prior,
            attributes=self._link.shared.attributes,
        )
        if slot.prior is not None and slot.ref.prior is not None:
            predictor.scrub.watch("prior", slot.prior, slot.ref.prior)
        for name, what in damage.items():
            predictor.scrub.add(name, what)
        return predictor

    def _run_beside(self, beside: RunningCandidates | None, slot: Slot) -> bool:
        """Run ``beside``; whether that is settled. What does not load here has failed."""
        self._beside = None
        self._service.run(None)
        if beside is None:
            return True
        for arm, ref in beside.candidates:
            try:
                release = self._link.certifier.opened(self._updater.slot_of(ref))
                check_same_inputs(self._service.current().release, release)
            except EdgeError as error:
                return self._fail(ref, f"arm {arm}: {error}")
        # On trial before they are loaded: one that ends the process as it loads is then known.
        self._updater.try_out([ref for _, ref in beside.candidates])
        try:
            self._service.run(self._experiment_of(beside, slot))
        except EdgeError as error:
            return self._fail(beside.candidates[0][1], str(error))
        self._beside = beside
        return True

    def _experiment_of(self, beside: RunningCandidates, slot: Slot) -> RunningExperiment:
        experiment, service = beside.experiment, self._service
        slots = {arm: self._updater.slot_of(ref) for arm, ref in beside.candidates}
        if experiment.strategy == "shadow":
            ((arm, shadowed),) = slots.items()
            candidate = self._link.certifier.opened(shadowed)
            terms = self._terms(experiment.id, arm)
            return service.shadow(candidate, terms, experiment.share, self._link.crash_marker)
        if experiment.unit == "key":
            slots = {CONTROL: slot, **slots}
        arms = {arm: self._load(s, self._terms(experiment.id, arm)) for arm, s in slots.items()}
        if experiment.unit == "key":
            return Arms(experiment, self._link.shared.attributes, arms)
        ((arm, candidate_predictor),) = arms.items()
        return Interleaver(
            arm,
            service.current(),
            candidate_predictor,
            sampled=experiment.share,
            clock=service.clock,
        )

    def _take_back(self) -> None:
        errors, serving = self._config.trial_errors, self._service.serving
        if serving is not None and serving.errors >= errors:
            reason = f"the model failed on {errors} inputs"
            if not self._leave_provider(serving, f"{reason}; {serving.trouble:.200}"):
                self._fail(None, reason)
        running, beside = self._service.running, self._beside
        failure = running.failure(time.monotonic(), errors) if running is not None else None
        if failure is not None and beside is not None:
            arm, reason = failure
            self._service.run(None)  # now, even if an update is in progress
            self._failed = (dict(beside.candidates).get(arm), reason)
        if self._failed is not None and self._fail(*self._failed):
            self._failed = None

    def _leave_provider(self, serving: Predictor, reason: str) -> bool:
        """Serve the same release with another variant or on another provider, if one is left.

        An accelerator that gives up is no failure of the release; should the model fail elsewhere
        too, that is one.
        """
        slot = self._updater.slot()
        if slot is None or serving.model.provider == CPU:
            return False
        with self._lock:
            if self._service.serving is not serving:
                return True  # another thread has left it: what serves now did not fail
            if not self._link.certifier.give_up(slot, reason):
                return False
            self.activate(slot)
        return True

    def _fail(self, ref: SlotRef | None, reason: str) -> bool:
        """Go back from what serves, or do without ``ref``; whether that could be done now."""
        done = self._updater.fail(reason, ref) is not None
        if done:
            self.renew()
        return done

    def _confirm(self) -> None:
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
        # Without monitoring nobody can say whether it answered; that it loaded has to do.
        if answered or not self._config.monitoring:
            self._updater.confirm(trial)
            self._updater.try_out([ref for _, ref in candidates])


def _clean_exit(updater: Updater, marker: CrashMarker, certifier: Certifier, pid: int) -> None:
    if os.getpid() != pid:
        return  # the end of a forked child says nothing of its parent
    marker.close()
    certifier.clean_exit()
    updater.clean_exit()
