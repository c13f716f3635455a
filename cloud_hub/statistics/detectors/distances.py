"""Distances of two histograms: descriptions with known ranges, none of them a test.

Histograms [bins + 2] are in the layout of the reference profile: bins in order, missing, outside.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.float64]
"""A histogram [bins + 2], or several [devices, bins + 2]."""


def ks_distance(a: Counts, b: Counts) -> float:
    """Kolmogorov-Smirnov distance on bin edges: the largest gap of the distributions.

    Args:
        a: histogram [bins + 2], not empty.
        b: likewise.
    """
    return float(np.abs(np.cumsum(a / a.sum() - b / b.sum())[:-2]).max(initial=0.0))


def corrected_psi(a: Counts, b: Counts) -> float:
    """Population stability index less its expectation without drift, ``(B - 1)(1/n + 1/m)``.

    ``B`` counts the bins that are filled in either histogram. Negative where there is less
    difference than chance brings.

    Args:
        a: histogram [bins + 2], not empty.
        b: likewise.

    Source: B. Yurdakul, J. Naranjo, "Statistical properties of the population stability index",
    Journal of Risk Model Validation 14(4), 2020.
    """
    used = int((a + b > 0).sum())
    bias = (used - 1) * (1 / a.sum() + 1 / b.sum())
    return psi(a, b) - float(bias)


def psi(a: Counts, b: Counts) -> float:
    """Population stability index: the sum over bins of ``(q - p) ln(q / p)``.

    As it is commonly computed: half an observation is added to each bin that either fills.

    Args:
        a: histogram [bins + 2], not empty; its shares are ``p``.
        b: likewise; its shares are ``q``.
    """
    used = a + b > 0
    # Without it one empty bin would make the index infinite.
    p, q = a[used] + 0.5, b[used] + 0.5
    p, q = p / p.sum(), q / q.sum()
    return float(((q - p) * np.log(q / p)).sum())


def jensen_shannon(a: Counts, b: Counts) -> float:
    """Jensen-Shannon divergence in bits, 0 to 1.

    The mean Kullback-Leibler divergence of both from their mixture.

    Args:
        a: histogram [bins + 2], not empty.
        b: likewise.
    """
    p, q = a / a.sum(), b / b.sum()
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        # 0 log 0 is 0; numpy would give NaN.
        left = np.where(p > 0, p * np.log2(p / middle), 0.0).sum()
        right = np.where(q > 0, q * np.log2(q / middle), 0.0).sum()
    return float((left + right) / 2)


def wasserstein(a: Counts, b: Counts) -> float:
    """Earth mover's distance over the bins, as a share of the way from the first to the last.

    Bins hold equal masses of the training data, so this is distance in training ranks, in [0, 1];
    missing and outside have no place on that line and are left out.
    """
    inside_a, inside_b = a[:-2], b[:-2]
    if len(inside_a) < 2 or not inside_a.sum() or not inside_b.sum():
        return 0.0
    # In one dimension the work is the area between the two distribution functions.
    apart = np.cumsum(inside_a / inside_a.sum() - inside_b / inside_b.sum())[:-1]
    return float(np.abs(apart).mean())
