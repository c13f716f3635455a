"""Events of updates, for the hub."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from edge_sdk.contract.messages import Outcome, UpdateEvent

if TYPE_CHECKING:
    from edge_sdk.hub.outbox import Outbox
    from edge_sdk.update.state import SlotRef

REASON: Final = 500
"""Characters of a reason that travel."""


class Events:
    """Puts the events of one device's updates into its outbox."""

    def __init__(self, model: str, outbox: Outbox, clock: Callable[[], float]) -> None:
        self._model = model
        self._outbox = outbox
        self._clock = clock

    def report(
        self,
        outcome: Outcome,
        slot: SlotRef,
        other: SlotRef | None,
        **more: Any,
    ) -> None:
        """Put an event into the outbox.

        Args:
            outcome: of the update.
            slot: that was activated, or failed.
            other: that served before, or serves now.
            more: step, reason and experiment, where the event has them.
        """
        if more.get("reason"):
            more["reason"] = more["reason"][:REASON]
        previous = other.version if other else None
        at = int(self._clock())
        event = UpdateEvent(self._model, outcome, slot.version, at, previous, **more)
        self._outbox.put([event])
