"""How a unit's model learns: the numbers that the hub chose by simulation over units left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edge_sdk.contract.errors import require

LONGEST_HALF_LIFE: Final = 1e6


@dataclass(frozen=True)
class PersonalSettings:
    """Numbers of pool, forgetting, robustness and guard; all without unit unless one is said.

    Attributes:
        power: exponent of the release's probabilities in a unit's answer once it has many labels.
        pull: weight of the unit's own Gaussians in that answer.
        warm_up: labels after which half of the way from (1, 0) to (power, pull) is gone.
        half_life: labels after which an observation weighs half, for the unit's slow memory.
        fast_half_life: the same for its fast memory.
        half_life_days: days after which both weigh half.
        widening: factor on the variance between units, for the fast memory.
        start: weights of release, slow and fast memory before the first label; they sum to 1.
        rate: how fast these weights follow the losses.
        share: of the weights that is spread anew at each label (fixed share).
        largest_loss: of a regressor's answer, half the squared error over the noise's variance;
            log losses of a classifier are bounded by the noise.
        noise: share of labels that are wrong, where a unit has not shown another one.
        change: evidence in nats at which rows are taken to be of somebody else than a memory's.
        better: level at which a unit alone shows that its own answers are better.
        worse: level at which it or its device shows that they are worse.
        floor: probabilities of the release below it count as it.
    """

    power: float = 0.5
    pull: float = 0.5
    warm_up: float = 1.0
    half_life: float = 200.0
    fast_half_life: float = 15.0
    half_life_days: float = 180.0
    widening: float = 4.0
    start: tuple[float, float, float] = (0.3, 0.65, 0.05)
    rate: float = 0.5
    share: float = 0.01
    largest_loss: float = 5.0
    noise: float = 0.05
    change: float = 4.5
    better: float = 0.005
    worse: float = 0.05
    floor: float = 1e-4

    def __post_init__(self) -> None:
        for name, low, high in (
            ("power", 0.0, 2.0),
            ("pull", 0.0, 2.0),
            ("warm_up", 0.0, 1e4),
            ("half_life", 1.0, LONGEST_HALF_LIFE),
            ("fast_half_life", 1.0, LONGEST_HALF_LIFE),
            ("half_life_days", 0.01, LONGEST_HALF_LIFE),
            ("widening", 1.0, 1e4),
            ("rate", 0.0, 4.0),
            ("share", 0.0, 0.5),
            ("largest_loss", 0.1, 100.0),
            ("noise", 1e-3, 0.5),
            ("change", 1.0, 1e3),
            ("better", 1e-9, 0.5),
            ("worse", 1e-9, 0.5),
            ("floor", 1e-12, 0.1),
        ):
            value = getattr(self, name)
            require(low <= value <= high, f"{name}: expected {low:g} to {high:g}, got {value}")
        whole = min(self.start) >= 0 and abs(sum(self.start) - 1) < 1e-6
        require(whole, f"start: expected weights that sum to 1, got {list(self.start)}")
