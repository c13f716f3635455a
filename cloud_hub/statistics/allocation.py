"""Did the arms get the units that they should? A sequential test for sample-ratio mismatch.

Source:
    M. Lindon, A. Malek, "Anytime-Valid Inference for Multinomial Count Data", NeurIPS 2022 (the
    Dirichlet-multinomial e-value).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln, logsumexp

from cloud_hub.statistics.clustered import Floats

THRESHOLD: Final = 0.001
"""Chance of a false alarm over all looks at one cohort."""

CONCENTRATIONS: Final = (2.0, 100.0, 5_000.0)
"""The mixture's priors: from arms that got nothing at all to a mismatch of half a percent."""


@dataclass(frozen=True)
class Allocation:
    """What one cohort's arms got, and what that says. ``p`` is valid at any look."""

    cohort: str
    counts: Mapping[str, int]
    expected: Mapping[str, float]
    p: float

    @property
    def mismatch(self) -> bool:
        """Whether it cannot be chance."""
        return self.p <= THRESHOLD


def log_mismatch_evidence(counts: ArrayLike, expected: ArrayLike) -> Floats:
    """Log e-value against "units fall into the arms as ``expected``".

    Args:
        counts: units in each arm, [..., A].
        expected: shares that sum to 1, [A], each above 0.

    Returns:
        Array of the leading shape: a mixture over :data:`CONCENTRATIONS` of Dirichlet priors about
        the expected shares.
    """
    x = np.asarray(counts, dtype=np.float64)
    shares = np.asarray(expected, dtype=np.float64)
    n = np.sum(x, axis=-1)
    null = np.sum(x * np.log(shares), axis=-1)
    logs = []
    for concentration in CONCENTRATIONS:
        prior = concentration * shares
        arms = np.sum(gammaln(prior + x) - gammaln(prior), axis=-1)
        logs.append(gammaln(concentration) - gammaln(concentration + n) + arms - null)
    return cast(Floats, logsumexp(np.array(logs), axis=0) - np.log(len(CONCENTRATIONS)))


def check_allocation(
    cohort: str, counts: Mapping[str, int], weights: Mapping[str, float]
) -> Allocation:
    """Judge the counts of one cohort; ``weights`` need not sum to 1, arms of no weight are left."""
    total = sum(weights.values())
    expected = {name: weight / total for name, weight in weights.items() if weight > 0}
    found = {name: counts.get(name, 0) for name in expected}
    evidence = log_mismatch_evidence(list(found.values()), list(expected.values()))
    p = float(np.exp(-np.maximum(evidence, 0.0)))
    return Allocation(cohort, found, expected, max(p, 1e-300))
