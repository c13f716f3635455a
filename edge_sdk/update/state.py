"""The update as a pure state machine.

Order: download, verify, stage, probe, activate, commit, cleanup, idle. A release that is only to be
held beside what serves, for an experiment, skips ``activate``. Invariants:

* Until ``activate`` nothing that serves is touched; a crash before it changes nothing.
* ``activate`` swaps release and packs together and keeps the previous slot until it commits and
  beyond, so that a later failure can go back to it.
* A release is on trial from its activation, or from when it first runs beside what serves
  (:func:`try_out`), until it has answered (:func:`confirm`). A process that ends before that,
  :data:`STARTS` times and once more, condemns it.
* So does one that ends while it is probed, and once more: the first end may be somebody's else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from edge_sdk.contract.errors import require
from edge_sdk.contract.plan import ReleaseRef

Phase = Literal["idle", "download", "verify", "stage", "probe", "activate", "commit", "cleanup"]
ORDER: Final[tuple[Phase, ...]] = (
    "download", "verify", "stage", "probe", "activate", "commit", "cleanup", "idle",
)  # fmt: skip
BEFORE_ACTIVATION: Final = ("idle", "download", "verify", "stage", "probe")

STARTS: Final = 2
"""Starts that a release on trial may end; a power cut or the user may be behind one or two."""


@dataclass(frozen=True)
class SlotRef:
    """A release (SHA-256 of its manifest) with its packs of answers and of features, and its
    personal prior (SHA-256 each).
    """

    version: str
    manifest: str
    pack: str | None = None
    features: str | None = None
    prior: str | None = None

    @classmethod
    def of(cls, release: ReleaseRef) -> SlotRef:
        """Return the slot of a release that a plan names."""
        files = (release.pack, release.features, release.prior)
        return cls(
            release.version,
            release.manifest,
            *(file.file.sha256 if file else None for file in files),
        )

    @property
    def packs(self) -> tuple[str, ...]:
        """Return the packs that it has."""
        return tuple(digest for digest in (self.pack, self.features) if digest)

    @property
    def name(self) -> str:
        """Return a name for all of it, for the memory of failures."""
        parts = (self.manifest, self.pack or "none", self.features or "none")
        # Without a prior it is the name that earlier versions remember.
        return "+".join(parts if self.prior is None else (*parts, self.prior))


@dataclass(frozen=True)
class UpdateState:
    """The state of updates on disk.

    ``target`` is what an update in progress brings: with ``serve`` it becomes current, else it is
    held. ``held`` are slots that the plan needs here besides; ``home`` is what serves again if a
    candidate turns out bad; ``tried`` the experiment that they are for, and ``entered`` the one as
    whose candidate the current slot serves. ``trial`` runs and has not answered yet, for ``starts``
    starts; ``proven`` have. ``crashed`` was being probed when a process ended.
    """

    phase: Phase = "idle"
    current: SlotRef | None = None
    previous: SlotRef | None = None
    target: SlotRef | None = None
    starts: int = 0
    experiment: str | None = None
    serial: int = 0
    serve: bool = True
    held: tuple[SlotRef, ...] = ()
    home: SlotRef | None = None
    trial: SlotRef | None = None
    proven: tuple[SlotRef, ...] = ()
    tried: str | None = None
    entered: str | None = None
    crashed: SlotRef | None = None

    @property
    def here(self) -> tuple[SlotRef, ...]:
        """Return every slot that is whole on disk and must stay there, the current one first."""
        refs = (self.current, self.previous, *self.held)
        return tuple(dict.fromkeys(ref for ref in refs if ref is not None))

    @property
    def back(self) -> SlotRef | None:
        """Return the slot that serves again if the current one turns out bad."""
        at_home = self.home in self.here and self.home != self.current
        return self.home if at_home else self.previous


def begin(
    state: UpdateState,
    target: SlotRef,
    serial: int,
    experiment: str | None = None,
    *,
    serve: bool = True,
) -> UpdateState:
    """Return the state in which an update begins.

    Args:
        state: with no update in progress.
        target: to bring.
        serial: of the plan that wants it.
        experiment: of which it is a candidate, if it is one.
        serve: it is to serve; else it is held beside what serves.
    """
    require(state.phase == "idle", f"begin: expected phase idle, got {state.phase}")
    return replace(
        state, phase="download", target=target, serial=serial, experiment=experiment, serve=serve
    )


def advance(state: UpdateState) -> UpdateState:
    """Return the state after the current step succeeded."""
    require(state.phase != "idle", "advance: expected an update in progress")
    following = ORDER[ORDER.index(state.phase) + 1]
    if state.phase == "probe":
        state = replace(state, crashed=None)
    if following == "activate":
        return _activated(state) if state.serve else _held(state)
    if following == "idle":
        return rested(state)
    return replace(state, phase=following)


def _activated(state: UpdateState) -> UpdateState:
    return replace(
        state,
        phase="activate",
        current=state.target,
        previous=state.current,
        starts=0,
        trial=state.target,
        entered=state.experiment,
    )


def _held(state: UpdateState) -> UpdateState:
    assert state.target is not None
    held = tuple(dict.fromkeys((*state.held, state.target)))
    return replace(state, phase="commit", held=held)


def rested(state: UpdateState) -> UpdateState:
    """Return the state with no update in progress."""
    return replace(state, phase="idle", target=None, experiment=None, serve=True)


def abandon(state: UpdateState) -> UpdateState:
    """Return the state after the current step failed: what served before serves again."""
    after = rested(state)
    if state.phase in BEFORE_ACTIVATION:
        return after
    if not state.serve:
        return _dropped(after, state.target)
    return replace(after, current=state.previous, previous=None, trial=None, starts=0, entered=None)


def revert(state: UpdateState) -> UpdateState:
    """Return the state after the current slot failed in service: back to home or the previous."""
    require(state.back is not None, "revert: there is no previous release to go back to")
    return lose(state)


def lose(state: UpdateState) -> UpdateState:
    """Return the state without the current slot; the one to go back to, if any, is current."""
    after = replace(rested(state), current=state.back, previous=None, entered=None)
    return _dropped(after, state.current)


def drop(state: UpdateState, slot: SlotRef) -> UpdateState:
    """Return the state without a slot that was held and failed."""
    return _dropped(rested(state), slot)


def _dropped(state: UpdateState, slot: SlotRef | None) -> UpdateState:
    held = tuple(ref for ref in state.held if ref != slot)
    trial = None if state.trial == slot else state.trial
    return replace(state, held=held, trial=trial, starts=0)


def keep(
    state: UpdateState,
    wanted: tuple[SlotRef, ...],
    serial: int,
    home: SlotRef | None = None,
    tried: str | None = None,
) -> UpdateState:
    """Return the state in which nothing is held but what a plan wants.

    Args:
        state: with no update in progress.
        wanted: slots that the plan wants here.
        serial: of the plan.
        home: what serves again if a candidate turns out bad.
        tried: id of the experiment that the slots are for.
    """
    held = tuple(ref for ref in wanted if ref in state.here)
    after = replace(state, serial=serial, held=held, home=home, tried=tried)
    trial = state.trial if state.trial in (state.current, *held) else None
    return replace(after, trial=trial, proven=tuple(r for r in state.proven if r in after.here))


def try_out(state: UpdateState, slots: Sequence[SlotRef]) -> UpdateState:
    """Return the state in which ``slots`` run beside: the first that has not answered is on trial.

    One at a time, so that it is known which is to blame.
    """
    new = [slot for slot in slots if slot not in state.proven]
    return state if state.trial is not None or not new else replace(state, trial=new[0], starts=0)


def confirm(state: UpdateState) -> UpdateState:
    """Return the state after what was on trial has answered."""
    proven = tuple(dict.fromkeys((*state.proven, state.trial))) if state.trial else state.proven
    return replace(state, trial=None, starts=0, proven=proven)


def recover(state: UpdateState) -> UpdateState:
    """Return the state with which a start goes on; what stopped before ``activate`` is retried.

    A release whose probe ended a process twice stays in ``probe``, to be given up.
    """
    counted = state if state.trial is None else replace(state, starts=state.starts + 1)
    if state.phase == "probe":
        again = state.crashed == state.target
        return counted if again else replace(rested(counted), crashed=state.target)
    return rested(counted) if state.phase in BEFORE_ACTIVATION else counted


def gave_up(state: UpdateState) -> bool:
    """Return whether too many processes ended, as :func:`recover` says, over a new release."""
    return state.phase == "probe" or (state.trial is not None and state.starts > STARTS)
