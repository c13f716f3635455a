"""Sequential test for sample-ratio mismatch: units of the arms against the shares declared.

A mismatch means that something else than chance decides who is counted (an arm crashes, stays
silent, cannot be downloaded); then no comparison of the arms means anything.

Assumes that units fall into arms independently of each other, with the declared shares if nothing
is wrong; it holds at every look.

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
    """Units of one cohort by arm, with the shares expected; ``p`` is valid at any look."""

    cohort: str
    counts: Mapping[str, int]
    expected: Mapping[str, float]
    p: float

    @property
    def mismatch(self) -> bool:
        """True if chance alone cannot explain the counts, at :data:`THRESHOLD`."""
        return self.p <= THRESHOLD


def log_mismatch_evidence(counts: ArrayLike, expected: ArrayLike) -> Floats:
    """Log e-value against "units fall into the arms as ``expected``".

    The e-value is the likelihood of the counts with shares drawn from a Dirichlet distribution
    about the expected ones, divided by their likelihood with exactly those. It is averaged over
    :data:`CONCENTRATIONS`: a small one bets on gross mismatches, a large one on slight ones. Reject
    at ``log(1 / alpha)``, at any look.

    Args:
        counts: units in each arm, [..., A].
        expected: shares that sum to 1, [A], each above 0.

    Returns:
        Array of the leading shape.
    """
    x = np.asarray(counts, dtype=np.float64)
    shares = np.asarray(expected, dtype=np.float64)
    n = np.sum(x, axis=-1)
    null = np.sum(x * np.log(shares), axis=-1)
    logs = []
    # The multinomial coefficient is in both likelihoods and cancels: gammaln of the rest suffices.
    for concentration in CONCENTRATIONS:
        prior = concentration * shares
        arms = np.sum(gammaln(prior + x) - gammaln(prior), axis=-1)
        logs.append(gammaln(concentration) - gammaln(concentration + n) + arms - null)
    return cast(Floats, logsumexp(np.array(logs), axis=0) - np.log(len(CONCENTRATIONS)))


def check_allocation(
    cohort: str, counts: Mapping[str, int], weights: Mapping[str, float]
) -> Allocation:
    """Judge the counts of one cohort.

    Args:
        cohort: name, for people.
        counts: units by arm; an arm without any may be left out.
        weights: by arm, in any unit; they need not sum to 1. Arms of weight 0 are not judged.
    """
    total = sum(weights.values())
    expected = {name: weight / total for name, weight in weights.items() if weight > 0}
    units = {name: counts.get(name, 0) for name in expected}
    evidence = log_mismatch_evidence(list(units.values()), list(expected.values()))
    # An e-value below 1 is a p-value of 1; the floor keeps the logarithm of p finite for reports.
    p = float(np.exp(-np.maximum(evidence, 0.0)))
    return Allocation(cohort, units, expected, max(p, 1e-300))
