"""When to ask the cloud: pure rules, and the breaker that keeps a sick hub from costing time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import Cascade
    from edge_sdk.contract.serving_terms import CascadePolicy


def confidence(
    probabilities: NDArray[Any] | Sequence[float], metric: str = "max_probability"
) -> float:
    """How sure an answer is, in [0, 1]; NaN for probabilities that are empty or not finite.

    ``max_probability`` is the largest; ``margin`` the largest minus the second; ``entropy`` one
    minus the entropy as a share of its maximum.
    """
    p = np.asarray(probabilities, dtype=np.float64).ravel()
    if p.size == 0 or not np.isfinite(p).all():
        return float("nan")
    if metric == "margin":
        top = np.sort(p)[-2:]
        return float(top[-1] - top[0]) if p.size > 1 else 1.0
    if metric == "entropy":
        positive = p[p > 0]
        share = -(positive * np.log(positive)).sum() / np.log(p.size) if p.size > 1 else 0.0
        return float(min(1.0, max(0.0, 1.0 - share)))
    return float(p.max())


def is_sure(
    probabilities: NDArray[Any] | Sequence[float] | None, metric: str, threshold: float
) -> bool:
    """Whether an answer of the on-device model stands without asking the cloud.

    Probabilities that are empty or not finite never do. A number has no confidence, so it stands:
    ask for regressors with the mode ``cloud``.
    """
    return probabilities is None or confidence(probabilities, metric) >= threshold


@dataclass(frozen=True)
class CascadeRule:
    """When one release asks the cloud.

    Attributes:
        first: the cloud is asked before the on-device model, which answers only in its place.
        threshold: below which confidence the cloud is asked; ``None``: never.
        metric: what the confidence is.
    """

    first: bool = False
    threshold: float | None = None
    metric: str = "max_probability"

    @property
    def asks(self) -> bool:
        """Whether there is any reason to ask."""
        return self.first or self.threshold is not None


def rule(cascade: Cascade | None, policy: CascadePolicy) -> CascadeRule:
    """The plan's policy applied to what the release was certified with."""
    if policy.mode == "local":
        return CascadeRule()
    if policy.mode == "cloud":
        return CascadeRule(first=True)
    certified = cascade.metric if cascade else "max_probability"
    metric = policy.metric or certified
    if policy.threshold is not None:
        return CascadeRule(threshold=policy.threshold, metric=metric)
    if cascade is None or metric != certified:
        return CascadeRule()  # a threshold for one metric says nothing about another
    return CascadeRule(threshold=cascade.threshold, metric=metric)


class CircuitBreaker:
    """Stops asking after failures in a row, and tries again once after a pause.

    Args:
        failures: in a row, after which it opens.
        pause: seconds for which it stays open.
        clock: monotonic seconds.
    """

    def __init__(
        self, clock: Callable[[], float], *, failures: int = 3, pause: float = 30.0
    ) -> None:
        self._clock = clock
        self._limit = failures
        self._pause = pause
        self._failures = 0
        self._open_until: float = NEVER
        self._lock = threading.Lock()

    def allows(self) -> bool:
        """Whether a call may be tried now; while open, one caller per pause is let through."""
        with self._lock:
            if self._failures < self._limit:
                return True
            if self._clock() < self._open_until:
                return False
            self._open_until = self._clock() + self._pause
            return True

    def succeeded(self) -> None:
        """A call was answered: close."""
        with self._lock:
            self._failures = 0

    def failed(self) -> None:
        """A call was not answered: open after too many."""
        with self._lock:
            self._failures += 1
            if self._failures >= self._limit:
                self._open_until = self._clock() + self._pause


NEVER: Final = float("-inf")
