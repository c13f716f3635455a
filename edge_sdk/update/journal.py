"""The durable record of updates: how far one is, what failed, and the events for the hub.

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
    from edge_sdk.update.model_state import ModelState

_STATE: Final = "update"


class Journal:
    """The updates of one model on a device.

    Attributes:
        failed: what failed here.
        trial: the slot that has not answered yet since it came, as is on disk.

    Args:
        store: keeps the model's state.
        outbox: takes the events.
        clock: Unix seconds.
    """

    def __init__(self, store: ModelState, outbox: Outbox, clock: Callable[[], float]) -> None:
        self._store = store
        self._events = Events(store.model, outbox, clock)
        self.failed = FailedReleases(store)
        self.trial: SlotRef | None = None

    @property
    def state(self) -> UpdateState:
        """Return the state on disk."""
        plain = self._store.get(_STATE)
        return from_plain(UpdateState, plain) if plain else UpdateState()

    def write(self, state: UpdateState) -> None:
        """Have ``state`` on disk."""
        self._store.put(_STATE, asdict(state))
        self.trial = state.trial

    def committed(self, state: UpdateState) -> None:
        """Record that a release is here for good; if it serves, the hub learns of it."""
        assert state.current is not None
        with self._store.transaction():
            self.write(state)
            if state.serve:
                self._events.report(
                    "activated", state.current, state.previous, experiment=state.experiment
                )

    def abandoned(self, before: UpdateState, after: UpdateState, step: str, reason: str) -> None:
        """Record that an update failed, because of what it was to bring.

        Args:
            before: state of the update that failed.
            after: state without it.
            step: at which it failed.
            reason: a sentence.
        """
        assert before.target is not None
        with self._store.transaction():
            self.failed.remember(before.target, before.serial, before.experiment, reason)
            self._events.report(
                "failed",
                before.target,
                after.current,
                step=step,
                reason=reason,
                experiment=before.experiment,
            )
            self.write(after)

    def fell_back(self, state: UpdateState, reason: str) -> None:
        """Record that an update goes on with the second best: a file did not come in its cheapest
        form, or a variant does not work here on a provider. Nothing failed.

        Args:
            state: of the update.
            reason: a sentence.
        """
        assert state.target is not None
        self._events.report(
            "fell_back", state.target, state.current, step=state.phase, reason=reason
        )

    def refused(self, slot: SlotRef, reason: str) -> None:
        """Record that a slot serves without something that came with it. Nothing failed.

        Args:
            slot: that serves, or is held.
            reason: a sentence.
        """
        self._events.report("fell_back", slot, slot, step="load", reason=reason)

    def waits(self, slot: SlotRef, current: SlotRef, reason: str) -> None:
        """Record that the update to ``slot`` is put off.

        Args:
            slot: that is to come.
            current: what serves meanwhile.
            reason: the step, who puts it off, and until when.
        """
        self._events.report("waiting", slot, current, reason=reason)

    def went_back(
        self, after: UpdateState, slot: SlotRef, reason: str, experiment: str | None
    ) -> None:
        """Record that a slot turned out bad here.

        Args:
            after: state without it.
            slot: that failed.
            reason: a sentence.
            experiment: of which it is a candidate, if it is one.
        """
        with self._store.transaction():
            self.failed.remember(slot, after.serial, experiment, reason)
            self._events.report(
                "rolled_back", slot, after.current, reason=reason, experiment=experiment
            )
            self.write(after)

    def damaged(self, slot: SlotRef, reason: str, without: UpdateState | None = None) -> None:
        """Record that files of a slot are damaged on the disk; the release is not to blame.

        Args:
            slot: whose they are.
            reason: a sentence.
            without: state without it, where it cannot be loaded; ``None`` where it goes on serving
                and is repaired.
        """
        with self._store.transaction():
            if without is None:
                self._events.report("failed", slot, slot, step="check", reason=reason)
            else:
                self._events.report("failed", slot, without.current, step="load", reason=reason)
                self.write(without)
