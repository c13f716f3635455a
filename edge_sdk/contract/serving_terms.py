"""Parts of a plan that hold for every device: reports, shared rows, the cloud, units.

They are apart from the plan because a device without a hub needs these alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from edge_sdk.contract.errors import require
from edge_sdk.contract.limits import LARGEST_ERROR

Metric = Literal["max_probability", "margin", "entropy"]
"""Confidence of an answer, computed from its probabilities."""


@dataclass(frozen=True)
class Reporting:
    """Rules for reports. A device votes for at most ``votes`` frequent keys per window.

    A regressor's number counts as correct if it differs from its label by at most ``right_within``
    (in the label's unit), the same for all versions; without it regressors have no accuracy. An
    error counts as ``largest_error`` at most (same unit), so that no single one outweighs all
    others; the hub derives it from what serves where the policy does not say.
    ``requests_per_second`` is more than any one device can answer, on average over a minute: the
    hub refuses reports that claim more.
    """

    window_seconds: int = 300
    minimum_observations: int = 100
    votes: int = 100
    right_within: float | None = None
    largest_error: float | None = None
    requests_per_second: int = 1_000

    def __post_init__(self) -> None:
        require(self.window_seconds >= 1, "window_seconds: expected at least 1")
        require(self.minimum_observations >= 1, "minimum_observations: expected at least 1")
        require(self.votes >= 0, "votes: expected at least 0")
        rate = self.requests_per_second
        require(rate >= 1, f"requests_per_second: expected at least 1, got {rate}")
        within = self.right_within
        require(within is None or within > 0, f"right_within: expected above 0, got {within}")
        largest = self.largest_error
        fits = largest is None or 0 < largest <= LARGEST_ERROR
        require(fits, f"largest_error: expected above 0 and up to {LARGEST_ERROR:g}, got {largest}")


@dataclass(frozen=True)
class Sharing:
    """Opt-in sharing of labelled inputs: requested here, sent only by devices that opted in.

    At most ``per_window`` a window. ``tensor_bytes`` bounds the compressed bytes of inputs that are
    no table, a window; 0 for none of those.
    """

    samples: bool = False
    per_window: int = 0
    tensor_bytes: int = 0

    def __post_init__(self) -> None:
        require(self.per_window >= 0, "per_window: expected at least 0")
        require(self.tensor_bytes >= 0, "tensor_bytes: expected at least 0")

    def at_most(self, tensor_bytes: int) -> Sharing:
        """Return this with a lower bound of the device on bytes of tensors, if it is lower."""
        return replace(self, tensor_bytes=min(self.tensor_bytes, tensor_bytes))


@dataclass(frozen=True)
class CascadePolicy:
    """Rule by which devices ask the cloud.

    ``local``: never. ``cloud``: always, with the on-device model as the fallback. ``cascade``: when
    the on-device model's confidence is below the threshold. ``threshold`` and ``metric`` replace
    the manifest's certified ones; ``deadline_ms`` bounds the wait of a prediction for the cloud.
    """

    mode: Literal["local", "cascade", "cloud"] = "cascade"
    threshold: float | None = None
    deadline_ms: int = 250
    metric: Metric | None = None

    def __post_init__(self) -> None:
        require(self.deadline_ms >= 1, "deadline_ms: expected at least 1")


MOST_EPSILON: Final = 2.0
"""Largest ε of noise that may replace a minimum of units: beyond it noise hides nothing."""


Exploration = Literal["thompson", "linucb", "none"]
"""Rule by which rankings explore within a session."""


LONGEST_REPORT: Final = 365.0
"""Days."""


@dataclass(frozen=True)
class Personalisation:
    """Rules by which devices adapt to a unit (user, session).

    ``mode``: with ``learn`` devices gather and report, and nobody is served a correction; with
    ``on`` they serve it where the prior says that it helps, or the unit has shown it. A device with
    fewer than ``minimum_units`` adds nothing to the hub's sums, unless each of its reports gets
    noise of ``epsilon`` (differential privacy by unit); it reports its sums once for each
    generation of a prior, ``report_days`` after it came. A ranking is with a chance of at most
    ``explore`` not the one that the unit's model thinks best, drawn as ``exploration`` says. Units
    take ``memory_bytes`` of RAM at most; the least recently used wait on the disk.
    """

    mode: Literal["learn", "on"] = "on"
    minimum_units: int = 20
    epsilon: float | None = None
    report_days: float = 7.0
    exploration: Exploration = "thompson"
    explore: float = 0.1
    memory_bytes: int = 8_000_000

    def __post_init__(self) -> None:
        check_units(self.minimum_units, self.epsilon)
        days = self.report_days
        require(
            0 <= days <= LONGEST_REPORT,
            f"report_days: expected 0 to {LONGEST_REPORT:g}, got {days:g}",
        )
        require(0 <= self.explore <= 0.5, f"explore: expected 0 to 0.5, got {self.explore:g}")
        least = 100_000
        fits = self.memory_bytes >= least
        require(fits, f"memory_bytes: expected at least {least}, got {self.memory_bytes}")


def check_units(minimum_units: int, epsilon: float | None) -> None:
    """Refuse sums that would tell of single units.

    Raises:
        ContractError: fewer than two units without noise, or noise that hides nothing.
    """
    require(minimum_units >= 1, f"minimum_units: expected at least 1, got {minimum_units}")
    noisy = epsilon is None or 0 < epsilon <= MOST_EPSILON
    require(noisy, f"epsilon: expected above 0 and up to {MOST_EPSILON:g}, got {epsilon}")
    hidden = minimum_units >= 2 or epsilon is not None
    require(hidden, "minimum_units: the sum of one unit is that unit; expected 2, or an epsilon")
