"""The section ``retention`` of a model's policy."""

from __future__ import annotations

from dataclasses import dataclass

from edge_sdk.contract.errors import require


@dataclass(frozen=True)
class Retention:
    """Days that reports are kept whole, their hourly sums, votes for pack keys, and labelled rows
    that owners of devices shared.
    """

    report_days: float = 2.0
    sum_days: float = 400.0
    vote_days: float = 30.0
    sample_days: float = 400.0

    def __post_init__(self) -> None:
        days = (self.report_days, self.sum_days, self.vote_days, self.sample_days)
        require(min(days) >= 1, f"expected at least one day each, got {days}")
        ordered = self.report_days <= self.sum_days
        require(ordered, "sum_days: expected at least report_days")
