"""Sequential test for sample-ratio mismatch: units of the arms against the shares declared.

A mismatch means that something else than chance decides who is counted (an arm crashes, stays
silent, cannot be downloaded); then no comparison of the arms means anything.

Assumes that units fall into arms independently of each other, with the declared shares if nothing
is wrong; it holds at every look. Devices are such units. Keys are, too, but they are not counted
once: a device that starts again has forgotten which it has seen, and several devices see the same
key. So keys are tested by bucket (:mod:`edge_sdk.contract.key_buckets`): all counts of a key are in
one bucket, and the share of an arm is judged by how buckets differ.

Sources:
    M. Lindon, A. Malek, "Anytime-Valid Inference for Multinomial Count Data", NeurIPS 2022 (the
    Dirichlet-multinomial e-value).
    I. Waudby-Smith, D. Arbour, R. Sinha, E. Kennedy, A. Ramdas, "Time-uniform central limit theory
    and asymptotic confidence sequences", Annals of Statistics 52(6), 2024 (the share by bucket).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast

import numpy as np
from numpy.typing import ArrayLike

from cloud_hub.deferred.libraries import gammaln, logsumexp
from cloud_hub.statistics.clustered import mean_against
from cloud_hub.statistics.samples import Floats, Sample
from cloud_hub.statistics.sequential import log_e_value

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
    return Allocation(cohort, units, expected, _p_value(float(evidence)))


def check_key_allocation(
    cohort: str, units: Mapping[str, Floats], weights: Mapping[str, float]
) -> Allocation:
    """Judge the counts of keys of one cohort, in which keys may come more than once.

    A mismatch is one for which both tests find evidence: that of :func:`log_mismatch_evidence`,
    exact while keys are few and each came once; and :func:`log_bucket_evidence`, which holds
    however often they come. So it is at the level of whichever is right.

    Args:
        cohort: name, for people.
        units: keys by bucket and arm, [B] each.
        weights: by arm, as for :func:`check_allocation`.
    """
    total = sum(weights.values())
    expected = {name: weight / total for name, weight in weights.items() if weight > 0}
    shares = list(expected.values())
    table = np.array([units[name] for name in expected])
    counts = {name: round(float(units[name].sum())) for name in expected}
    evidence = np.minimum(
        log_mismatch_evidence(list(counts.values()), shares), log_bucket_evidence(table, shares)
    )
    return Allocation(cohort, counts, expected, _p_value(float(evidence)))


def log_bucket_evidence(counts: ArrayLike, expected: ArrayLike) -> Floats:
    """Log e-value against "units fall into the arms as ``expected``", whatever units repeat.

    Of each arm the share in a bucket is one observation of its share; the e-values of the arms are
    averaged. It is asymptotic in the number of buckets with units.

    Args:
        counts: units in each arm and bucket, [..., A, B].
        expected: shares that sum to 1, [A], each above 0.

    Returns:
        Array of the leading shape.
    """
    x = np.asarray(counts, dtype=np.float64)
    whole = np.broadcast_to(np.sum(x, axis=-2, keepdims=True), x.shape)
    logs = [
        log_e_value(mean_against(Sample.of_successes(x[..., i, :], whole[..., i, :]), share))
        for i, share in enumerate(np.asarray(expected, dtype=np.float64).tolist())
    ]
    return cast(Floats, logsumexp(np.array(logs), axis=0) - np.log(len(logs)))


def _p_value(evidence: float) -> float:
    """An e-value below 1 is a p-value of 1; the floor keeps the logarithm of p finite."""
    return max(float(np.exp(-max(evidence, 0.0))), 1e-300)
