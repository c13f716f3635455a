"""The section ``train.validation`` of a model's policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from edge_sdk.contract.errors import require

CheckName = Literal[
    "schema", "missing", "range", "duplicate_rows", "duplicate_features", "label_balance",
    "label_leak", "holdout_overlap", "drift", "device_share", "fleet", "new_categories",
    "time_gap",
]  # fmt: skip
"""Names of the checks of data before a training."""

SHARES: Final = (
    "max_missing", "max_missing_rise", "max_out_of_range", "max_duplicate_rows",
    "max_duplicate_rise", "min_class_share", "max_label_shift", "max_label_agreement",
    "max_holdout_overlap", "max_device_share", "max_new_categories", "max_time_gap",
)  # fmt: skip


@dataclass(frozen=True)
class RangeRule:
    """Numbers of a ``column`` are from ``least`` to ``most``; what is left out is not limited."""

    column: str
    least: float | None = None
    most: float | None = None

    def __post_init__(self) -> None:
        require(bool(self.column), "column: expected a name")
        low, high = self.least, self.most
        require(low is not None or high is not None, "expected least, most or both")
        ordered = low is None or high is None or low <= high
        require(ordered, f"most: expected at least {low}")


@dataclass(frozen=True)
class ValidationPolicy:
    """Thresholds of the checks of data before a training; ``enabled: false`` leaves them out.

    A check that finds something stops the run, unless it is among those that are ``told`` only.
    The version before is that of the same dataset (of shared rows the newest that was trained on);
    what it had already is no fault.

    Columns: at most ``max_missing`` of the values are missing, and ``max_missing_rise`` more than
    before; at most ``max_out_of_range`` of the numbers are outside of ``ranges``, or further out of
    the range of before than that is wide. Rows with the features of another one:
    ``max_duplicate_rows``, or ``max_duplicate_rise`` over before (inputs recur, and shared rows so
    too). Labels: each class has ``min_class_share`` of the rows, ``max_label_shift`` of the rows
    moved from one class to another, and a feature that equals the label in ``max_label_agreement``
    of the rows is a leak. ``max_holdout_overlap`` of the rows of the holdout are among those that
    are trained on.

    ``max_drift`` and ``max_fleet_distance`` are population stability indices of a column, against
    the version before and against what the fleet itself counted. One device gives
    ``max_device_share`` of the shared rows (or twice its fair share, where devices are few): more
    rows of it are left out, and devices of one token are one giver. ``max_new_categories`` of the
    values were never seen before. ``max_time_gap`` of the time from the first to the last row has
    no row.
    """

    enabled: bool = True
    told: tuple[CheckName, ...] = ("drift", "fleet", "device_share", "new_categories", "time_gap")
    max_missing: float = 0.5
    max_missing_rise: float = 0.05
    ranges: tuple[RangeRule, ...] = ()
    max_out_of_range: float = 0.0001
    max_duplicate_rows: float = 0.9
    max_duplicate_rise: float = 0.2
    min_class_share: float = 0.0
    max_label_shift: float = 0.2
    max_label_agreement: float = 0.999
    max_holdout_overlap: float = 0.01
    max_drift: float = 0.25
    max_device_share: float = 0.2
    max_fleet_distance: float = 0.25
    max_new_categories: float = 0.01
    max_time_gap: float = 0.2

    def __post_init__(self) -> None:
        for name in SHARES:
            require(0 <= getattr(self, name) <= 1, f"{name}: expected a share, 0 to 1")
        for name in ("max_drift", "max_fleet_distance"):
            require(getattr(self, name) > 0, f"{name}: expected more than 0")
        require(self.max_device_share > 0, "max_device_share: expected more than 0")
        columns = [rule.column for rule in self.ranges]
        require(len(set(columns)) == len(columns), "ranges: expected different columns")
        require(len(set(self.told)) == len(self.told), "told: expected different checks")
