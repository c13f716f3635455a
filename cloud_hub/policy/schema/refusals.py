"""The section ``refusals`` of a model's policy."""

from __future__ import annotations

from dataclasses import dataclass

from edge_sdk.contract.errors import require


@dataclass(frozen=True)
class RefusalPolicy:
    """What follows where devices refuse the release that serves, canary or none.

    From ``alarm_share`` of the devices that tried it on, it is an alarm. Where more than ``share``
    of the voters refuse it (devices of one token of many uses are one), ``minimum_devices`` of them
    at least, the version that served before serves again, unless ``go_back`` is false. In a fleet
    of which some have not tried it yet, ``alpha`` is the chance of that where no more than
    ``share`` would have refused it.
    """

    go_back: bool = True
    share: float = 0.5
    minimum_devices: int = 3
    alpha: float = 0.001
    alarm_share: float = 0.05

    def __post_init__(self) -> None:
        share = 0.5 <= self.share < 1
        require(share, f"share: expected most of them, 0.5 to below 1, got {self.share:g}")
        least = self.minimum_devices
        require(least >= 2, f"minimum_devices: expected at least 2, got {least}: no single device "
                "takes anything back for others")  # fmt: skip
        require(0 < self.alpha < 0.5, "alpha: expected above 0 and below 0.5")
        require(0 <= self.alarm_share <= 1, "alarm_share: expected 0 to 1")
