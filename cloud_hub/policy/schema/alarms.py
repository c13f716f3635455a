"""The section ``alarms`` of a model's policy."""

from __future__ import annotations

from dataclasses import dataclass

from edge_sdk.contract.errors import require


@dataclass(frozen=True)
class AlarmPolicy:
    """From where on something about a model's devices or its held-out rows is an alarm.

    Attributes:
        lost_share: of the devices of the model that are lost; in a small fleet a single one.
        stuck_seconds: a device that was heard of so long after a plan was made, and does not
            follow it, is behind.
        behind_share: of the devices that were heard of since, that are behind.
        rejected_share: of the devices, whose reports of a day were refused as impossible.
        rejected_devices: fewest of those; a fleet that is smaller than that takes all of its own.
        worn_uses: decisions of the offline gate on the same rows, after which they show less than
            they seem to.
    """

    lost_share: float = 0.1
    stuck_seconds: float = 3_600.0
    behind_share: float = 0.2
    rejected_share: float = 0.02
    rejected_devices: int = 2
    worn_uses: int = 20

    def __post_init__(self) -> None:
        for name in ("lost_share", "behind_share", "rejected_share"):
            share = getattr(self, name)
            require(0 < share <= 1, f"{name}: expected above 0 to 1, got {share:g}")
        stuck = self.stuck_seconds
        require(60 <= stuck <= 30 * 86_400, f"stuck: expected a minute to 30 days, got {stuck:g} s")
        for name in ("rejected_devices", "worn_uses"):
            least = getattr(self, name)
            require(least >= 1, f"{name}: expected at least 1, got {least}")
