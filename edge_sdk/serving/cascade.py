"""Rules for asking the cloud, and a circuit breaker for a hub that does not answer."""

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
    """Return the confidence of an answer, in [0, 1]; NaN for empty or non-finite probabilities.

    Args:
        probabilities: probabilities of the classes, [classes].
        metric: ``max_probability``, the largest; ``margin``, the largest minus the second;
            ``entropy``, one minus the entropy as a share of its maximum.
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


def is_confident(
    probabilities: NDArray[Any] | Sequence[float] | None, metric: str, threshold: float
) -> bool:
    """Return True if the on-device model's answer is served without asking the cloud.

    Empty or non-finite probabilities never are. A number has no confidence, so it is always served;
    for regressors the mode ``cloud`` asks the cloud.

    Args:
        probabilities: probabilities of the classes, [classes]; ``None`` for a number.
        metric: as for :func:`confidence`.
        threshold: smallest confidence to serve.
    """
    # NaN >= threshold is False, so an answer that is not finite goes to the cloud.
    return probabilities is None or confidence(probabilities, metric) >= threshold


@dataclass(frozen=True)
class CascadeRule:
    """Rule by which one release asks the cloud.

    Attributes:
        first: True if the cloud is asked before the on-device model, which is then the fallback.
        threshold: the cloud is asked below this confidence; ``None``: never.
        metric: metric of the confidence.
    """

    first: bool = False
    threshold: float | None = None
    metric: str = "max_probability"

    @property
    def asks(self) -> bool:
        """True if the cloud is ever asked."""
        return self.first or self.threshold is not None


def rule(cascade: Cascade | None, policy: CascadePolicy) -> CascadeRule:
    """Combine the plan's policy with the cascade that the release was certified with."""
    if policy.mode == "local":
        return CascadeRule()
    if policy.mode == "cloud":
        return CascadeRule(first=True)
    certified = cascade.metric if cascade else "max_probability"
    metric = policy.metric or certified
    if policy.threshold is not None:
        return CascadeRule(threshold=policy.threshold, metric=metric)
    if cascade is None or metric != certified:
        return CascadeRule()  # a threshold of one metric means nothing for another
    return CascadeRule(threshold=cascade.threshold, metric=metric)


class CircuitBreaker:
    """Circuit breaker: opens after failures in a row, and lets one call through after a pause.

    Args:
        clock: function that returns monotonic seconds.
        failures: failures in a row after which it opens.
        pause: seconds for which it stays open.
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
        """Return True if a call may be tried now; while open, one caller per pause may."""
        with self._lock:
            if self._failures < self._limit:
                return True
            if self._clock() < self._open_until:
                return False
            # This caller is the probe: the others wait another pause, or until it succeeds.
            self._open_until = self._clock() + self._pause
            return True

    def succeeded(self) -> None:
        """Record a call that was answered: close."""
        with self._lock:
            self._failures = 0

    def failed(self) -> None:
        """Record a call that failed: open after too many."""
        with self._lock:
            self._failures += 1
            if self._failures >= self._limit:
                self._open_until = self._clock() + self._pause


NEVER: Final = float("-inf")
