"""The section ``monitoring`` of a model's policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge_sdk.contract.errors import require


@dataclass(frozen=True)
class MonitoringPolicy:
    """Settings of monitoring.

    Windows with fewer than ``minimum`` observations are added to the next; something is an alarm
    after ``in_a_row`` windows. ``reference`` is what windows are compared with: the ``training``
    distributions, or what was usual at the same hour of the week (``season``; training until there
    is enough of it). ``outputs`` includes labels, confidences and values; leave them out where the
    cloud answers for an unsure device, for that changes what is answered without any drift.

    Errors on late labels: a window counts once ``label_coverage`` of its predictions have labels,
    or ``label_wait_seconds`` after its end; ``mean_run`` is the mean number of labels to a false
    alarm. Accuracies of groups of rows that the release declares are compared, and those of devices
    by each attribute in ``groups``; ``acceptable_disparity`` is the largest difference that raises
    no alarm. So is ``acceptable_selection`` of the shares of an answer among groups of rows, which
    raise none without it: base rates may differ.

    A window is looked at ``grace_seconds`` after its end: devices sync once a minute, or later.
    """

    minimum: int = 500
    in_a_row: int = 2
    reference: Literal["training", "season"] = "training"
    outputs: bool = True
    label_coverage: float = 0.5
    label_wait_seconds: float = 86_400.0
    mean_run: float = 2_000_000.0
    groups: tuple[str, ...] = ()
    acceptable_disparity: float = 0.1
    acceptable_selection: float | None = None
    grace_seconds: float = 150.0

    def __post_init__(self) -> None:
        require(self.minimum >= 100, f"minimum: expected at least 100, got {self.minimum}")
        require(self.in_a_row >= 1, f"in_a_row: expected at least 1, got {self.in_a_row}")
        share = 0 < self.label_coverage <= 1
        require(share, f"label_coverage: expected above 0 and at most 1, got {self.label_coverage}")
        require(self.mean_run >= 1_000, f"mean_run: expected at least 1000, got {self.mean_run:g}")
        require(0 <= self.acceptable_disparity < 1, "acceptable_disparity: expected 0 to 1")
        selected = self.acceptable_selection
        fits = selected is None or 0 <= selected < 1
        require(fits, "acceptable_selection: expected 0 to 1")
        require(self.grace_seconds >= 0, "grace_seconds: expected at least 0")
