"""Heterogeneity of devices: their own failure rates, and the information that differences cost.

A device with a dirty camera fails more often under every version. Its requests are no independent
witnesses against the version that it happens to have: the variance of an arm's failures is larger
than that of as many independent requests, by the design effect. Devices are taken to have log odds
of failure of their own, with one variance for the fleet.

Sources:
    D. Williams, "Extra-binomial Variation in Logistic Linear Models", Applied Statistics 31(2),
    1982 (moment estimate of the variance between clusters).
    L. Kish, Survey Sampling, 1965 (design effect).
    G. Smyth, "Linear Models and Empirical Bayes Methods for Assessing Differential Expression",
    Statistical Applications in Genetics and Molecular Biology 3(1), 2004 (shrinking a variance
    towards a prior one by degrees of freedom).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.statistics.clustered import Floats

Counts = tuple[float, float]
"""How many failed, of how many; whole numbers unless a device's weight was bounded."""

SPREAD: Final = 0.25
"""Variance of devices' log odds before they have shown it: rates a factor of 1.6 up or down."""

TRUST: Final = 4.0
"""Degrees of freedom with which :data:`SPREAD` counts."""


@dataclass(frozen=True)
class FailureCounts:
    """Failures of both arms: arrays [R] with a row for each device, arm and period.

    ``device`` and ``period`` are numbered from 0, periods in order of time.
    """

    device: NDArray[np.intp]
    period: NDArray[np.intp]
    candidate: NDArray[np.bool_]
    failed: Floats
    requests: Floats

    @classmethod
    def of(
        cls,
        candidate: Mapping[tuple[str, int], Counts],
        control: Mapping[tuple[str, int], Counts],
    ) -> FailureCounts:
        """Arrange counts by device and period of either arm.

        Args:
            candidate: (failed, requests) by device and period.
            control: the same.
        """
        keys = [*candidate, *control]
        counts = np.array([*candidate.values(), *control.values()], dtype=np.float64)
        failed, requests = counts.reshape(-1, 2).T
        mine = np.arange(len(keys)) < len(candidate)
        return cls(_numbered([d for d, _ in keys]), _numbered([p for _, p in keys]), mine, failed,
                   requests)  # fmt: skip

    def by_period(self) -> Floats:
        """Candidate's failures and requests, control's failures and requests, [4, P]."""
        columns = [
            np.bincount(self.period, np.where(arm, values, 0.0))
            for arm in (self.candidate, ~self.candidate)
            for values in (self.failed, self.requests)
        ]
        return np.array(columns)

    def by_device(self, *, candidate: bool) -> tuple[Floats, Floats]:
        """Failures and requests of the devices of one arm, over all periods."""
        rows = self.candidate == candidate
        device = self.device[rows]
        totals = [np.bincount(device, values[rows]) for values in (self.failed, self.requests)]
        return totals[0].astype(np.float64), totals[1].astype(np.float64)


def spread(failures: FailureCounts) -> float:
    """Variance of the devices' log odds of failure, estimated about each arm's own rate.

    By moments: what squared residuals exceed their binomial variance, weighted by how reliable a
    device's own rate is (little while it has few failures), together with the prior :data:`SPREAD`
    at :data:`TRUST` degrees of freedom.

    Args:
        failures: of both arms.
    """
    weighted, weight = TRUST * SPREAD, TRUST
    for candidate in (True, False):
        failed, requests = failures.by_device(candidate=candidate)
        devices = int(np.count_nonzero(requests))
        if devices < 2:
            continue
        rate = failed.sum() / requests.sum()
        # Binomial variance of a device's failures at the arm's rate.
        information = rate * (1 - rate) * requests
        seen = information > 0
        squares = (failed - rate * requests)[seen] ** 2 * devices / (devices - 1)
        binomial = information[seen]
        # Squared share of a device's variance that would be its own, at the prior spread.
        reliable = (SPREAD * binomial / (1 + SPREAD * binomial)) ** 2 * (devices - 1) / devices
        weighted += float(np.sum(reliable * (squares - binomial) / binomial**2))
        weight += float(reliable.sum())
    return max(0.0, weighted / weight)


def design_effect(failures: FailureCounts, risk: float = 1.0) -> float:
    """Variance of failures as a multiple of that of independent requests; at least 1.

    One plus :func:`spread` times the sum over devices of their squared leverage, over that of
    single requests. Devices on both arms (units smaller than a device) are their own control and
    cost nothing.

    Args:
        failures: of both arms.
        risk: relative risk of the candidate that is assumed.
    """
    x, n, y, m = failures.by_period()
    total = risk * n.sum() + m.sum()
    if not total:
        return 1.0
    base = (x.sum() + y.sum()) / total
    with np.errstate(invalid="ignore"):
        share = np.nan_to_num(risk * n / (risk * n + m))[failures.period]
    # Held at one half, where a binomial variance is largest.
    rate = np.minimum(base * np.where(failures.candidate, risk, 1.0), 0.5)
    information = rate * (1 - rate) * failures.requests
    # Weight of a failure in the candidate's excess: + on its arm, - on the control's.
    leverage = np.where(failures.candidate, 1 - share, -share)
    # The same sum with every request a device of its own, and with requests of a device together.
    alone = float(np.sum(leverage**2 * information))
    together = float(np.sum(np.bincount(failures.device, leverage * information) ** 2))
    return 1.0 + spread(failures) * together / alone if alone else 1.0


def _numbered(names: list[str] | list[int]) -> NDArray[np.intp]:
    # An empty list has no type of its own.
    return np.unique(np.array(names), return_inverse=True)[1] if names else np.zeros(0, np.intp)
