"""What is on disk of an update: how far it is, what failed, and what the hub is to be told.

Invariant: a change of the state, the failure that led to it and the event that tells of it are one
transaction, so that none is there without the others after a power cut.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from edge_sdk.contract.codec import from_plain
from edge_sdk.update.events import Events
from edge_sdk.update.failures import FailedReleases
from edge_sdk.update.state import SlotRef, UpdateState

if TYPE_CHECKING:
    from edge_sdk.hub.outbox import Outbox
    from edge_sdk.state_db import StateDatabase

_STATE: Final = "update"


class Journal:
    """The updates of one device.

    Attributes:
        failed: what failed here.
        trial: the slot that has not answered yet since it came, as is on disk.

    Args:
        model: of the device.
        store: keeps the state.
        outbox: takes the events.
        clock: Unix seconds.
    """

    def __init__(
        self, model: str, store: StateDatabase, outbox: Outbox, clock: Callable[[], float]
    ) -> None:
        self._store = store
        self._events = Events(model, outbox, clock)
        self.failed = FailedReleases(store)
        self.trial: SlotRef | None = None

    @property
    def state(self) -> UpdateState:
        """What is on disk."""
        kept = self._store.get(_STATE)
        return from_plain(UpdateState, kept) if kept else UpdateState()

    def write(self, state: UpdateState) -> None:
        """Have ``state`` on disk."""
        self._store.put(_STATE, asdict(state))
        self.trial = state.trial

    def committed(self, state: UpdateState) -> None:
        """What was brought is here for good; if it serves, the hub is told."""
        assert state.current is not None
        with self._store.transaction():
            self.write(state)
            if state.serve:
                self._events.tell(
                    "activated", state.current, state.previous, experiment=state.experiment
                )

    def abandoned(self, before: UpdateState, after: UpdateState, step: str, reason: str) -> None:
        """The update of ``before`` failed at ``step``, because of what it was to bring."""
        assert before.target is not None
        with self._store.transaction():
            self.failed.remember(before.target, before.serial, before.experiment, reason)
            self._events.tell(
                "failed",
                before.target,
                after.current,
                step=step,
                reason=reason,
                experiment=before.experiment,
            )
            self.write(after)

    def went_back(
        self, after: UpdateState, slot: SlotRef, reason: str, experiment: str | None
    ) -> None:
        """``slot``, of ``experiment``, turned out bad here, and ``after`` does without it."""
        with self._store.transaction():
            self.failed.remember(slot, after.serial, experiment, reason)
            self._events.tell(
                "rolled_back", slot, after.current, reason=reason, experiment=experiment
            )
            self.write(after)

    def lost(self, after: UpdateState, slot: SlotRef, reason: str) -> None:
        """The files of ``slot`` are damaged; the release is not to blame."""
        with self._store.transaction():
            self._events.tell("failed", slot, after.current, step="load", reason=reason)
            self.write(after)
