"""The section ``approvals`` of a model's policy."""

from __future__ import annotations

from dataclasses import dataclass

from edge_sdk.contract.errors import require


@dataclass(frozen=True)
class ApprovalPolicy:
    """Decisions of one person that wait for another one.

    With ``promote`` a version that a person promotes, alone or as an arm of an experiment, serves
    once a second person has approved it, within ``expires_seconds``. What an experiment promotes
    because it won is the policy's own decision, and the way back waits for nobody.
    """

    promote: bool = False
    expires_seconds: float = 86_400.0

    def __post_init__(self) -> None:
        require(
            60 <= self.expires_seconds <= 30 * 86_400,
            f"expires: expected a minute to 30 days, got {self.expires_seconds:g} s",
        )
