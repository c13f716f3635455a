"""How much the devices' own failure rates differ, and what that costs in information.

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

Counts = tuple[int, int]
"""How many failed, of how many."""

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
        """From counts by device and period of either arm."""
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

    A device tells as much of it as its own rate is reliable: little while it has few failures.
    """
    told, weight = TRUST * SPREAD, TRUST
    for candidate in (True, False):
        failed, requests = failures.by_device(candidate=candidate)
        devices = int(np.count_nonzero(requests))
        if devices < 2:
            continue
        rate = failed.sum() / requests.sum()
        information = rate * (1 - rate) * requests
        seen = information > 0
        squares = (failed - rate * requests)[seen] ** 2 * devices / (devices - 1)
        known = information[seen]
        reliable = (SPREAD * known / (1 + SPREAD * known)) ** 2 * (devices - 1) / devices
        told += float(np.sum(reliable * (squares - known) / known**2))
        weight += float(reliable.sum())
    return max(0.0, told / weight)


def design_effect(failures: FailureCounts, risk: float = 1.0) -> float:
    """Variance of the candidate's failures beyond its share of all, as a multiple of what
    independent requests would have, if its relative risk is ``risk``; at least 1.

    Devices on both arms (units smaller than a device) are their own control and cost nothing.
    """
    x, n, y, m = failures.by_period()
    total = risk * n.sum() + m.sum()
    if not total:
        return 1.0
    base = (x.sum() + y.sum()) / total
    with np.errstate(invalid="ignore"):
        share = np.nan_to_num(risk * n / (risk * n + m))[failures.period]
    rate = np.minimum(base * np.where(failures.candidate, risk, 1.0), 0.5)
    information = rate * (1 - rate) * failures.requests
    leverage = np.where(failures.candidate, 1 - share, -share)
    alone = float(np.sum(leverage**2 * information))
    together = float(np.sum(np.bincount(failures.device, leverage * information) ** 2))
    return 1.0 + spread(failures) * together / alone if alone else 1.0


def _numbered(names: list[str] | list[int]) -> NDArray[np.intp]:
    # An empty list has no type of its own.
    return np.unique(np.array(names), return_inverse=True)[1] if names else np.zeros(0, np.intp)
