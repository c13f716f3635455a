"""The update as a pure state machine.

Order: download, verify, stage, probe, activate, commit, cleanup, idle. Invariants:

* Until ``activate`` nothing that serves is touched; a crash before it changes nothing.
* ``activate`` swaps release and packs together and keeps the previous slot until it commits and
  beyond, so that a later failure can go back to it.
* A start that finds the state still in ``activate`` means that the last one did not get as far as
  ``commit``: after :data:`STARTS` such starts the previous slot comes back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from edge_sdk.contract.codec import require

Phase = Literal["idle", "download", "verify", "stage", "probe", "activate", "commit", "cleanup"]
ORDER: Final[tuple[Phase, ...]] = (
    "download", "verify", "stage", "probe", "activate", "commit", "cleanup", "idle",
)  # fmt: skip
STARTS: Final = 2


@dataclass(frozen=True)
class SlotRef:
    """A release (SHA-256 of its manifest) with its packs of answers and of features (SHA-256)."""

    version: str
    manifest: str
    pack: str | None = None
    features: str | None = None

    @property
    def packs(self) -> tuple[str, ...]:
        """The packs that it has."""
        return tuple(digest for digest in (self.pack, self.features) if digest)

    @property
    def name(self) -> str:
        """Names all of it, for the memory of failures."""
        return "+".join((self.manifest, self.pack or "none", self.features or "none"))


@dataclass(frozen=True)
class UpdateState:
    """What is on disk. ``target`` is what an update in progress wants to make current."""

    phase: Phase = "idle"
    current: SlotRef | None = None
    previous: SlotRef | None = None
    target: SlotRef | None = None
    starts: int = 0
    experiment: str | None = None
    serial: int = 0


def begin(
    state: UpdateState, target: SlotRef, serial: int, experiment: str | None = None
) -> UpdateState:
    """Start an update to ``target``, as the plan ``serial`` says."""
    require(state.phase == "idle", f"begin: expected phase idle, got {state.phase}")
    return replace(state, phase="download", target=target, serial=serial, experiment=experiment)


def advance(state: UpdateState) -> UpdateState:
    """The state after the current step succeeded."""
    require(state.phase != "idle", "advance: expected an update in progress")
    following = ORDER[ORDER.index(state.phase) + 1]
    if following == "activate":
        return replace(
            state, phase=following, current=state.target, previous=state.current, starts=0
        )
    if following == "idle":
        return replace(state, phase=following, target=None, experiment=None)
    return replace(state, phase=following)


def abandon(state: UpdateState) -> UpdateState:
    """The state after the current step failed: what served before serves again."""
    back = state.phase in ("activate", "commit", "cleanup")
    current = state.previous if back else state.current
    previous = None if back else state.previous
    return UpdateState(current=current, previous=previous, serial=state.serial)


def revert(state: UpdateState) -> UpdateState:
    """Back to the previous slot after the current one failed in service."""
    require(state.previous is not None, "revert: there is no previous release to go back to")
    return UpdateState(current=state.previous, serial=state.serial)


def recover(state: UpdateState) -> UpdateState:
    """The state with which a fresh start goes on; what was left before ``activate`` is retried."""
    if state.phase in ("idle", "download", "verify", "stage", "probe"):
        return replace(state, phase="idle", target=None, experiment=None)
    if state.phase == "activate":
        return replace(state, starts=state.starts + 1)
    return state


def gave_up(state: UpdateState) -> bool:
    """Whether too many starts ended before the activated release could commit."""
    return state.phase == "activate" and state.starts > STARTS
