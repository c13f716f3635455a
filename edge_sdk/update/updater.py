"""Bringing one model of a device from what is here to what its plan wants, one durable step at a
time.

A plan may want several releases here: what serves, and what an experiment runs beside it or goes
back to. They are brought one after the other, each through the steps of
:mod:`edge_sdk.update.state`. A step's state is on disk before it begins, and it may be run again.
``checkpoint`` is called with the step's name between the two, so that a test can kill the process
exactly there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from edge_sdk.errors import EdgeError, HubError, StateError, UpdateError, reason_of
from edge_sdk.system.logs import Log
from edge_sdk.update import state as machine
from edge_sdk.update.download import Downloader
from edge_sdk.update.gatekeeper import Gatekeeper, UpdateHooks
from edge_sdk.update.journal import Journal
from edge_sdk.update.repair import Repairs
from edge_sdk.update.state import SlotRef, UpdateState

if TYPE_CHECKING:
    from edge_sdk.config import DeviceConfig
    from edge_sdk.contract.plan import ReleaseRef
    from edge_sdk.hub.client import HubClient
    from edge_sdk.hub.outbox import Outbox
    from edge_sdk.update.admission import Step
    from edge_sdk.update.failures import FailedReleases
    from edge_sdk.update.model_state import ModelState
    from edge_sdk.update.slots import Slot, Slots
    from edge_sdk.update.targets import DesiredState
    from edge_sdk.update.trust import ModelTrust

_log = Log(__name__)

Outcome = Literal["unchanged", "activated", "held", "waiting", "failed", "known_bad", "repaired"]


class Updater:
    """The updates of one model on a device.

    Attributes:
        repairs: files of slots to bring again, or for the first time.
        download_refusal: says why nothing but releases may be downloaded now; ``None`` if it may.
        refused: notes, with a slot and a sentence, that it serves without something that came with
            it.

    Args:
        store: keeps the model's state.
        outbox: takes the events.
        slots: its releases and packs on disk.
        trust: verified metadata.
        client: downloads.
        probe: raises :class:`EdgeError` if the slot does not work on this device; returns a
            sentence if it works in another than its first variant.
        activate: makes the slot serve; raises :class:`EdgeError` if it cannot.
        clock: Unix seconds.
        config: windows of updates, and for how long they may be put off.
        hooks: the application's word on updates.
        checkpoint: called with each step's name after its state is on disk and before it runs.
    """

    def __init__(
        self,
        store: ModelState,
        outbox: Outbox,
        slots: Slots,
        trust: ModelTrust,
        client: HubClient,
        *,
        probe: Callable[[Slot], str | None],
        activate: Callable[[Slot], None],
        clock: Callable[[], float],
        config: DeviceConfig,
        hooks: UpdateHooks = UpdateHooks(),
        checkpoint: Callable[[str], None] = lambda step: None,
    ) -> None:
        model = store.model
        self._journal = Journal(store, outbox, clock)
        self._gate = Gatekeeper(store, config, hooks, clock, self._journal.waits)
        self.download_refusal, self.refused = self._gate.closed, self._journal.refused
        self._downloader = Downloader(model, slots, trust, client, self._fell_back)
        self.repairs = Repairs(model, slots, trust, client)
        self._slots, self._probe, self._activate = slots, probe, activate
        self._checkpoint = checkpoint
        self._busy = threading.RLock()
        self._want: ReleaseRef | None = None
        self._told: tuple[SlotRef, str] | None = None
        self._steps: dict[str, Callable[[UpdateState], None]] = {
            "download": self._download,
            "verify": self._verify,
            "stage": self._stage,
            "probe": self._run_probe,
            "activate": self._run_activate,
            "commit": lambda state: None,
            "cleanup": self._clean,
        }

    @property
    def state(self) -> UpdateState:
        """Return the state on disk."""
        return self._journal.state

    @property
    def failed(self) -> FailedReleases:
        """Return what failed here."""
        return self._journal.failed

    @property
    def trial(self) -> SlotRef | None:
        """Return the slot that has not answered yet since it came."""
        return self._journal.trial

    @property
    def waiting(self) -> dict[str, Any] | None:
        """Return what update waits, at which step, why and until when; for the status."""
        return self._gate.waiting

    def slot(self) -> Slot | None:
        """Return the slot that serves, if one does."""
        current = self.state.current
        return self._slots.slot(current) if current else None

    def slot_of(self, ref: SlotRef) -> Slot:
        """Return the place on disk of a slot that is here."""
        return self._slots.slot(ref)

    def recover(self) -> Slot | None:
        """Finish or undo what the last run left; the slot that serves now, if there is one."""
        with self._busy:
            state = machine.recover(self.state)
            if machine.gave_up(state):
                state = self._give_up(state, "the process ended before the release had answered")
            self._journal.write(state)
            return self.slot()

    def finish(self) -> None:
        """Commit what :meth:`recover` returned, after it was loaded and serves."""
        with self._busy:
            if self.state.phase != "idle":
                self._run(self.state)

    def apply(self, want: DesiredState, *, serial: int) -> Outcome:
        """Bring what plan ``serial`` wants here, and make serve what it wants to serve.

        What the plan serves comes before any candidate, and serves until then if nothing else does.

        Returns:
            ``unchanged`` if all is here already, ``known_bad`` if what the plan serves failed here
            under it, ``waiting`` if something was put off (call it again), ``held`` if only
            something beside was brought, ``repaired`` if only damaged files were, else
            ``activated``.

        Raises:
            HubError: the hub went away or sent something else; what was downloaded is kept.
            UpdateError: a step failed; the previous release serves, and unless the disk was to
                blame the failure is remembered.
        """
        with self._busy:
            before = self._settled()
            home = SlotRef.of(want.home) if want.home is not None else None
            refs = tuple(map(SlotRef.of, want.releases))
            self._journal.write(machine.keep(before, refs, serial, home, want.experiment))
            self._gate.only(refs)
            outcomes: set[Outcome] = set()
            for ref in want.releases:
                experiment = None if ref == want.releases[0] else want.experiment
                serve = ref == want.assignment.release or self.state.current is None
                outcomes.add(self._bring(ref, serial, experiment, serve=serve))
            # Only where something is no longer needed: cleaning reads every folder.
            if not set(before.here) <= set(self.state.here):
                self._slots.clean(self.state.here)
            weight: tuple[Outcome, ...] = (
                "known_bad", "waiting", "activated", "held", "repaired"
            )  # fmt: skip
            return next((outcome for outcome in weight if outcome in outcomes), "unchanged")

    def _bring(
        self, want: ReleaseRef, serial: int, experiment: str | None, *, serve: bool
    ) -> Outcome:
        target, state = SlotRef.of(want), self.state
        if target == state.current or (not serve and target in state.here):
            self._gate.done(target)
            return self._repaired(want, target)
        if self.failed.includes(target, serial, experiment):
            return "known_bad"
        # The way back waits for nothing: something may be wrong with what serves.
        urgent = target in (state.previous, state.home)
        step: Step = "activate" if self._slots.is_staged(target) else "download"
        if not urgent and self._gate.ask(step, target, state.current) is not None:
            return "waiting"
        _log.info("update to %s begun, as plan %d says", want.version, serial)
        begun = machine.begin(state, target, serial, experiment, serve=serve)
        asks = serve and not urgent and step == "download"
        if not self._run(begun, want, asks=asks):
            return "waiting"
        self._gate.done(target)
        return "activated" if serve else "held"

    def _repaired(self, want: ReleaseRef, slot: SlotRef) -> Outcome:
        if not self.repairs.needs(slot):
            return "unchanged"
        self.repairs.run(want)
        if slot == self.state.current:
            self._activate(self._slots.slot(slot))
        return "repaired"

    def note_damage(self, manifest: str, reason: str) -> None:
        """Note that a file of a release that is here is damaged; the next plan brings it again.

        Args:
            manifest: SHA-256 of the release's.
            reason: a sentence that names the file.
        """
        for slot in self.state.here:
            if slot.manifest == manifest:
                self.repairs.add(slot)
                self._journal.damaged(slot, reason)

    def try_out(self, slots: Sequence[SlotRef]) -> None:
        """Note that ``slots`` run beside what serves from now on."""
        self._note(lambda state: machine.try_out(state, slots))

    def confirm(self, slot: SlotRef) -> None:
        """Note that ``slot``, which was on trial, has answered."""
        self._note(lambda state: machine.confirm(state) if state.trial == slot else state)

    def _note(self, change: Callable[[UpdateState], UpdateState]) -> None:
        """Change the state now, or not at all if an update is in progress: it may take long."""
        if not self._busy.acquire(blocking=False):
            return
        try:
            state = self.state
            after = change(state)
            if state.phase == "idle" and after != state:
                self._journal.write(after)
        finally:
            self._busy.release()

    def clean_exit(self) -> None:
        """Note that this process ends on purpose: that is nothing against what is on trial."""
        self._note(lambda state: replace(state, starts=0))

    def discard(self, reason: str) -> Slot | None:
        """Go back from what serves: it cannot be loaded, and its damaged files are removed.

        The release itself is not to blame, so it may be installed again.

        Returns:
            The slot to try instead, or ``None`` if there is no other.
        """
        with self._busy:
            state = self.state
            if state.current is None:
                return None
            _log.warning("release %s cannot be loaded: %s", state.current.version, reason)
            self._slots.remove_damaged(state.current)
            self._journal.damaged(state.current, reason, machine.lose(state))
            return self.slot()

    def fail(self, reason: str, slot: SlotRef | None = None) -> Slot | None:
        """Go back: ``slot`` (what serves, if not given; or what is held) turned out bad here.

        Returns:
            The slot that serves now; ``None`` if nothing could be done: there is none to go back
            to, or an update is under way. (It may take long; whoever calls must not wait.)
        """
        if not self._busy.acquire(blocking=False):
            return None
        try:
            return self._fail(reason, slot)
        finally:
            self._busy.release()

    def _fail(self, reason: str, slot: SlotRef | None) -> Slot | None:
        state = self.state
        slot = slot or state.current
        if state.phase != "idle" or slot is None:
            return None
        if slot != state.current:
            self._drop(state, slot, reason)
            return self.slot()
        if state.back is None:
            return None  # a release that fails is better than none
        self._take_back(machine.revert(state), slot, reason, state.entered)
        serving = self.slot()
        assert serving is not None
        self._activate(serving)
        return serving

    def _drop(self, state: UpdateState, slot: SlotRef, reason: str) -> None:
        if slot in state.held:
            self._take_back(machine.drop(state, slot), slot, reason, state.tried)

    def _take_back(
        self, after: UpdateState, slot: SlotRef, reason: str, experiment: str | None
    ) -> None:
        serves = after.current.version if after.current else "nothing"
        _log.info("release %s taken back: %s; %s serves", slot.version, reason, serves)
        self._journal.went_back(after, slot, reason, experiment)

    def _give_up(self, state: UpdateState, reason: str) -> UpdateState:
        if state.phase == "probe":
            return self._abandon(
                state, "probe", "the process ended twice while the release was probed"
            )
        if state.phase != "idle":
            return self._abandon(state, state.phase, reason)
        slot = state.trial
        assert slot is not None
        if slot != state.current:
            self._drop(state, slot, reason)
        elif state.back is not None:
            self._take_back(machine.revert(state), slot, reason, state.entered)
        else:
            return machine.confirm(state)  # there is nothing else to serve
        return self.state

    def _run(
        self, state: UpdateState, want: ReleaseRef | None = None, *, asks: bool = False
    ) -> bool:
        """Run every step that is left; on failure, go back and raise.

        With ``asks`` it is asked once more before what is new serves; if that is put off, the
        release stays as it is on disk, and the answer is False.
        """
        self._want = want
        while state.phase != "idle":
            step = state.phase
            # On disk first: a process that ends within the step finds here what it was doing.
            self._journal.write(state)
            self._checkpoint(step)
            try:
                self._steps[step](state)
            except HubError:
                # The network's or the hub's trouble, not the release's: it will be tried again.
                self._journal.write(machine.abandon(state))
                raise
            except (OSError, StateError) as error:
                trouble = UpdateError(step, f"trouble with the disk; {reason_of(error)}")
                _log.warning("update: %s", trouble)
                self._journal.write(machine.abandon(state))
                self._restore(step)
                raise trouble from error
            except EdgeError as error:
                self._abandon(state, step, str(error))
                self._restore(step)
                raise _as_update_error(step, error) from error
            if asks and step == "probe" and self._put_off(state):
                self._journal.write(machine.abandon(replace(state, crashed=None)))
                return False
            state = machine.advance(state)
            if state.phase == "cleanup":
                self._commit(state)
        self._journal.write(state)
        return True

    def _put_off(self, state: UpdateState) -> bool:
        assert state.target is not None
        return self._gate.ask("activate", state.target, state.current) is not None

    def _commit(self, state: UpdateState) -> None:
        self._journal.committed(state)
        if state.serve and state.current is not None:
            _log.info("update to %s activated", state.current.version)
        elif state.target is not None:
            _log.info("release %s is here, and held beside what serves", state.target.version)

    def _settled(self) -> UpdateState:
        """The state with nothing under way: an update that was cut short is ended or forgotten."""
        state = self.state
        if state.phase in ("activate", "commit", "cleanup"):
            self._run(state)
            return self.state
        return machine.rested(state)

    def _restore(self, step: str) -> None:
        """After a failed activation, what served before must serve in memory too."""
        current = self.state.current
        if step == "activate" and current is not None:
            self._activate(self._slots.slot(current))

    def _abandon(self, state: UpdateState, step: str, reason: str) -> UpdateState:
        after = machine.abandon(state)
        version = state.target.version if state.target else "?"
        _log.info("update to %s refused at %s: %s", version, step, reason)
        # Verified before: what is missing now, the disk lost. The next sync brings it again.
        if step == "activate" and state.target and self._slots.remove_damaged(state.target):
            self._journal.damaged(state.target, reason, after)
            return after
        self._journal.abandoned(state, after, step, reason)
        return after

    def _download(self, state: UpdateState) -> None:
        self._downloader.download(self._wanted(), state.here)

    def _fell_back(self, reason: str) -> None:
        state = self.state
        assert state.target is not None
        # Once: on a full disk, say, it is so at every sync.
        if (state.target, reason) != self._told:
            self._told = (state.target, reason)
            _log.info("update to %s: %s", state.target.version, reason)
            self._journal.fell_back(state, reason)

    def _verify(self, state: UpdateState) -> None:
        self._downloader.verify(self._wanted())

    def _stage(self, state: UpdateState) -> None:
        self._downloader.stage(self._wanted())

    def _run_probe(self, state: UpdateState) -> None:
        assert state.target is not None
        reason = self._probe(self._slots.slot(state.target))
        if reason is not None:
            self._fell_back(reason)

    def _run_activate(self, state: UpdateState) -> None:
        assert state.current is not None
        self._activate(self._slots.slot(state.current))

    def _clean(self, state: UpdateState) -> None:
        self._slots.clean(state.here)

    def _wanted(self) -> ReleaseRef:
        assert self._want is not None, "only steps from activate on run without a plan"
        return self._want


def _as_update_error(step: str, error: EdgeError) -> EdgeError:
    return error if isinstance(error, UpdateError) else UpdateError(step, str(error))
