"""Drops what a memory holds of somebody else: a preference changed, or the user did.

The product of (release's chance / memory's chance) over labels is a wager against the memory, which
its own answers would lose. Begun anew at each label it is an e-detector (Shin, Ramdas & Rinaldo
2023): with labels as the memory expects them, exp(level) labels pass on average until it is dropped
by mistake.
"""

from __future__ import annotations

from edge_sdk.contract.personal.settings import PersonalSettings
from edge_sdk.personalise.experts import Losses
from edge_sdk.personalise.unit_state import UnitState


def begin_anew(
    state: UnitState, losses: Losses, strange: float, settings: PersonalSettings
) -> None:
    """Add the evidence of one label, and drop a memory that has enough against it.

    Args:
        state: of the unit; changed.
        losses: log losses of release, slow and fast memory.
        strange: nats by which a new unit explains the row better than the slow memory does.
        settings: with the level.
    """
    release, slow, fast = losses
    level = settings.change
    slow_drift, fast_drift, stranger = state.drift
    slow_drift = max(0.0, slow_drift + slow - fast)
    fast_drift = max(0.0, fast_drift + fast - release)
    stranger = max(0.0, stranger + strange)
    if stranger > level:
        state.sums[:] = 0.0
        state.weights = settings.start
        slow_drift = fast_drift = stranger = 0.0
    if slow_drift > level:
        state.sums[0] = state.sums[1]
        slow_drift = 0.0
    if fast_drift > level:
        state.sums[1] = 0.0
        fast_drift = 0.0
    state.drift = (slow_drift, fast_drift, stranger)
