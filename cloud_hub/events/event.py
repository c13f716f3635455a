"""One event, and which events somebody wants. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cloud_hub.database.event_kinds import SEVERITIES


@dataclass(frozen=True)
class StreamEvent:
    """One event.

    Attributes:
        id: ascends in the order of commits; gaps mean nothing.
        time: Unix seconds, by the hub's clock.
        kind: such as ``rollout``.
        type: such as ``edge.rollout.aborted``.
        severity: ``info``, ``warning`` or ``critical``.
        model: that it concerns, ``None`` for none; ``version`` and ``device`` alike.
        actor: who acted.
        action: as the audit log names it.
        data: plain JSON, with the reason and the evidence.
    """

    id: int
    time: float
    kind: str
    type: str
    severity: str
    model: str | None
    version: str | None
    device: str | None
    actor: str
    action: str
    data: dict[str, Any]


@dataclass(frozen=True)
class EventFilter:
    """Which events somebody wants; empty means all.

    Attributes:
        kinds: that they are of.
        models: that they concern.
        severity: that they have at least.
        device: that they are about.
        type: beginning of their type.
    """

    kinds: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    severity: str = "info"
    device: str | None = None
    type: str = ""

    def takes(self, event: StreamEvent) -> bool:
        """Return whether an event is wanted."""
        return (
            (not self.kinds or event.kind in self.kinds)
            and (not self.models or event.model in self.models)
            and SEVERITIES.index(event.severity) >= SEVERITIES.index(self.severity)
            and (self.device is None or event.device == self.device)
            and event.type.startswith(self.type)
        )
