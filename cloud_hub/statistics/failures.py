"""Does the candidate fail more often? An exact e-process on counts, for the guardrail of a canary.

Sources:
    A. Ramdas, P. Grünwald, V. Vovk, G. Shafer, "Game-theoretic statistics and safe anytime-valid
    inference", Statistical Science 38(4), 2023 (e-processes, mixtures).
    W. Hoeffding, "Probability Inequalities for Sums of Bounded Random Variables", JASA 58, 1963
    (section 6: what is drawn without replacement is no more spread out than with).
"""

from __future__ import annotations

from typing import Final, cast

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp

from cloud_hub.statistics.clustered import Floats

RISKS: Final = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
"""Relative risks of failure over which the e-process is mixed."""


def failure_path(
    candidate_failures: ArrayLike,
    candidate_n: ArrayLike,
    control_failures: ArrayLike,
    control_n: ArrayLike,
) -> Floats:
    """Log e-value against "the candidate fails no more often than the control" after each period.

    Given how many failures a period had in all, the candidate's share of them is, with equal
    risks, that of drawing so many of all requests; a binomial with its share of the requests is
    more spread out and gives a supermartingale. A mixture over :data:`RISKS` bets on more. The
    periods' factors multiply, so the candidate's share may change from one to the next and so may
    the risk that both have in common. Reject at ``log(1 / alpha)``, at any look. Conservative where
    failures are frequent; it takes failures of different requests as independent.

    Args:
        candidate_failures: by period in order of time, arrays [..., P].
        candidate_n: requests of the candidate, those that failed included.
        control_failures: the same of the control.
        control_n: the same of the control.

    Returns:
        Array [..., P]. Periods with requests on one arm only say nothing.
    """
    x, n, y, m = (
        np.asarray(values, dtype=np.float64)[..., None]
        for values in (candidate_failures, candidate_n, control_failures, control_n)
    )
    share = np.where((n > 0) & (m > 0), n / np.maximum(n + m, 1.0), 0.5)
    risks = np.array(RISKS)
    alternative = risks * share / (risks * share + 1 - share)
    logs = x * np.log(alternative / share) + y * np.log((1 - alternative) / (1 - share))
    by_risk = np.cumsum(np.where((n > 0) & (m > 0), logs, 0.0), axis=-2)
    return cast(Floats, logsumexp(by_risk, axis=-1) - np.log(len(RISKS)))


def log_failure_evidence(
    candidate_failures: ArrayLike,
    candidate_n: ArrayLike,
    control_failures: ArrayLike,
    control_n: ArrayLike,
) -> float:
    """The log e-value after all periods of :func:`failure_path`; 0 without any."""
    path = failure_path(candidate_failures, candidate_n, control_failures, control_n)
    return float(path[-1]) if path.size else 0.0


def failure_evidence(
    candidate_failures: int, candidate_n: int, control_failures: int, control_n: int
) -> float:
    """The e-value of one period of counts; at most 1e300."""
    found = log_failure_evidence(
        [candidate_failures], [candidate_n], [control_failures], [control_n]
    )
    return float(np.exp(min(found, 690.0)))
