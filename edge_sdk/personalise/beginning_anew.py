"""Drops what a memory holds of somebody else: a preference changed, or the user did.

Each label adds what it says against a memory, in nats, and what speaks for the memory takes it back
down to zero: a CUSUM (Page 1954). The slow memory is held to the fast one, the fast one to the
release, and the slow one to what a new unit would look like.

One label counts at most :data:`LARGEST`. A memory is surer of its answers than it should be (its
Gaussians take features as independent), so one wrong answer of it may be 5 nats. Counted in full,
two of them dropped memories of users who had not changed, every 20 labels; within the bound it
takes a row of labels on which the other expert was better.
"""

from __future__ import annotations

from typing import Final

from edge_sdk.contract.personal.settings import PersonalSettings
from edge_sdk.personalise.experts import Losses
from edge_sdk.personalise.unit_state import UnitState

LARGEST: Final = 1.0
"""Nats that one label counts at most, for or against a memory."""

LEVEL: Final = 8.0
"""Nats at which the other expert is taken to be better from here on."""


def begin_anew(
    state: UnitState, losses: Losses, strange: float, settings: PersonalSettings
) -> None:
    """Add the evidence of one label, and drop a memory that has enough against it.

    Args:
        state: of the unit; changed.
        losses: log losses of release, slow and fast memory.
        strange: nats by which a new unit explains the row better than the slow memory does.
        settings: with the level at which a unit is a stranger to its memory.
    """
    release, slow, fast = losses
    slow_drift, fast_drift, stranger = state.drift
    slow_drift = max(0.0, slow_drift + _bounded(slow - fast))
    fast_drift = max(0.0, fast_drift + _bounded(fast - release))
    stranger = max(0.0, stranger + strange)
    if stranger > settings.change:
        state.sums[:] = 0.0
        state.weights = settings.start
        slow_drift = fast_drift = stranger = 0.0
    if slow_drift > LEVEL:
        state.sums[0] = state.sums[1]
        slow_drift = 0.0
    if fast_drift > LEVEL:
        state.sums[1] = 0.0
        fast_drift = 0.0
    state.drift = (slow_drift, fast_drift, stranger)


def _bounded(nats: float) -> float:
    return max(-LARGEST, min(LARGEST, nats))
