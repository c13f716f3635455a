"""E-process on counts of failures: evidence that a candidate fails more often.

It is exact where devices are alike. Where they are not, requests of one device fail together, and
the log of the e-value is divided by the design effect of that, as in quasi-likelihood.

Sources:
    A. Ramdas, P. Grünwald, V. Vovk, G. Shafer, "Game-theoretic statistics and safe anytime-valid
    inference", Statistical Science 38(4), 2023 (e-processes, mixtures).
    W. Hoeffding, "Probability Inequalities for Sums of Bounded Random Variables", JASA 58, 1963
    (section 6: what is drawn without replacement is no more spread out than with).
    P. McCullagh, J. Nelder, Generalized Linear Models, 2nd edition, 1989, chapter 9
    (quasi-likelihood: a log-likelihood divided by the dispersion).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, cast

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betainc, betaln, logsumexp

from cloud_hub.statistics.clustered import Floats
from cloud_hub.statistics.heterogeneity import SPREAD, FailureCounts, design_effect

RISKS: Final = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
"""Relative risks of failure over which the e-process is mixed."""


def failure_path(
    candidate_failures: ArrayLike,
    candidate_n: ArrayLike,
    control_failures: ArrayLike,
    control_n: ArrayLike,
    *,
    allowed_risk: float = 1.0,
    effect: ArrayLike = 1.0,
) -> Floats:
    """Log e-value against "the candidate fails no more often than allowed" after each period.

    Given how many failures a period had in all, the candidate's share of them is, with equal
    risks, that of drawing so many of all requests; a binomial with its share of the requests is
    more spread out and gives a supermartingale. A mixture over :data:`RISKS` bets on more. The
    periods' factors multiply, so the candidate's share may change from one to the next and so may
    the risk that both have in common. Reject at ``log(1 / alpha)``, at any look. Conservative where
    failures are frequent.

    Args:
        candidate_failures: by period in order of time, arrays [..., P].
        candidate_n: requests of the candidate, those that failed included.
        control_failures: the same of the control.
        control_n: the same of the control.
        allowed_risk: relative risk that is no reason to reject.
        effect: design effect as of each look, [..., P] or one number; 1 for independent requests.

    Returns:
        Array [..., P]. Periods with requests on one arm only say nothing.
    """
    x, n, y, m = (
        np.asarray(values, dtype=np.float64)[..., None]
        for values in (candidate_failures, candidate_n, control_failures, control_n)
    )
    # A period with one arm only compares nothing; any share will do, its factor is masked below.
    share = np.where((n > 0) & (m > 0), allowed_risk * n / np.maximum(allowed_risk * n + m, 1), 0.5)
    risks = np.array(RISKS)
    alternative = risks * share / (risks * share + 1 - share)
    logs = x * np.log(alternative / share) + y * np.log((1 - alternative) / (1 - share))
    by_risk = np.cumsum(np.where((n > 0) & (m > 0), logs, 0.0), axis=-2)
    # Dividing the log by the design effect: as if there were so many fewer requests.
    tempered = by_risk / np.asarray(effect, dtype=np.float64)[..., None]
    return cast(Floats, logsumexp(tempered, axis=-1) - np.log(len(RISKS)))


@dataclass(frozen=True)
class FailureEvidence:
    """Evidence that the candidate's failures are more.

    ``log_e``: reject at ``log(1 / alpha)``. ``allowed_risk`` is the relative risk that it is held
    against, ``design_effect`` the number by which the log of the e-value was divided.
    """

    log_e: float
    allowed_risk: float
    design_effect: float


def judge_failures(failures: FailureCounts, *, margin: float = 0.0) -> FailureEvidence:
    """Evidence against "the candidate fails no more often than the control, plus ``margin``".

    The margin becomes a relative risk by the control's own rate; see :func:`failure_path`.

    Args:
        failures: of both arms, by device and period.
        margin: absolute, a share of requests.
    """
    x, n, y, m = failures.by_period()
    if not len(x):
        return FailureEvidence(0.0, 1.0, 1.0)
    # Half a failure more keeps the risk finite where the control has none yet.
    risk = 1 + margin / ((y.sum() + 0.5) / (m.sum() + 1))
    effect = design_effect(failures, risk)
    path = failure_path(x, n, y, m, allowed_risk=risk, effect=effect)
    return FailureEvidence(float(path[-1]), float(risk), effect)


def log_share_evidence(failed: int, tried: int, allowed: float) -> float:
    """Log e-value against "a device fails with chance ``allowed`` at most", at any look.

    The likelihood averaged over all larger chances, by that of the allowed one: devices try one
    after the other, and the ratio is a supermartingale in their number.

    Args:
        failed: devices.
        tried: devices, those that failed included.
        allowed: chance of failure, 0 to below 1.
    """
    # With nothing allowed a single failure would be proof; a chance this small is nothing.
    least = max(allowed, 1e-6)
    a, b = failed + 1, tried - failed + 1
    above = max(float(1 - betainc(a, b, least)), 1e-300)
    risen = float(betaln(a, b)) + np.log(above) - np.log1p(-least)
    return float(risen - failed * np.log(least) - (tried - failed) * np.log1p(-least))


def log_device_evidence(
    failures: int, requests: int, control: tuple[int, int], *, differ: float = SPREAD
) -> float:
    """Log e-value against "this device fails no more often than the control", for one device.

    Args:
        failures: of the device, with the candidate.
        requests: of the same.
        control: failures and requests without the candidate.
        differ: variance of the log odds between this device and the control's; 0 where the device
            is its own control.
    """
    y, m = control
    total = max(requests + m, 1)
    # Beyond one half the variance of a rate falls again; the larger one is the safe one.
    rate = min((failures + y) / total, 0.5)
    effect = 1 + differ * rate * (1 - rate) * requests * m / total
    return float(failure_path([failures], [requests], [y], [m], effect=effect)[-1])
