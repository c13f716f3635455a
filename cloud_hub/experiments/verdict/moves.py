"""Move of an experiment after a decision of its gate. Pure; the hub and simulations do the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from cloud_hub.experiments.verdict.decision import GateDecision
    from cloud_hub.experiments.verdict.spec import ExperimentSpec

Move = Literal["note", "abort", "drop", "pause", "conclude", "advance"]
End = Literal["wait for approval", "promote", "conclude"]


def move_of(status: str, decision: GateDecision) -> Move:
    """Return what is done with an experiment.

    ``note``: nothing but to write the look down. Only a person ends a pause; a winner that waits
    for approval can still be taken back, dropped or paused.

    Args:
        status: ``running``, ``paused`` or ``waiting``.
        decision: of its gate.
    """
    if status == "paused":
        return "note"
    if decision.action == "abort":
        return "abort"
    if decision.action == "drop":
        return "drop"
    if decision.action == "pause":
        return "pause"
    if status == "waiting" or decision.action == "wait":
        return "note"
    return "conclude" if decision.action == "conclude" else "advance"


def end_of(spec: ExperimentSpec, winner: str | None) -> End:
    """Return how an experiment ends that is decided.

    Args:
        spec: the declared experiment.
        winner: the arm that won, if any did.
    """
    if winner is None or not spec.promotes:
        return "conclude"
    return "wait for approval" if spec.approval else "promote"
