"""Comparison of two arms whose units are keys, by bucket of the keys.

An A/B by key gives each key an arm, so keys are what is independent, not requests and not devices:
a user who asks a thousand times is one user. Devices report sums by a bucket of the key's hash
(:mod:`edge_sdk.contract.key_buckets`), which is independent of the arm. A bucket of an arm holds
whole keys, of all devices on which they came, so buckets are independent of each other whatever the
requests of a key have in common, on one device or on many. Buckets are compared as
:mod:`cloud_hub.statistics.clustered` compares devices: means over requests, with the variance that
is seen between buckets, as of devices that are on both arms.

The variance is known with ``2 * (B - 1)`` degrees of freedom at most, which is the price of
reporting buckets and no keys.

Assumes that the hash gives keys arms and buckets at random. The sequence is asymptotic: it takes
:data:`LEAST` buckets with requests on either arm, below which nothing is said, and a key with more
than :data:`~cloud_hub.statistics.influence.MULTIPLE` times the requests of a median bucket weighs
only so much. It fails where nearly all requests are those of a handful of keys that fail in a way
of their own; then more keys help and more requests do not.

Sources:
    A. Donner, N. Klar, Design and Analysis of Cluster Randomization Trials in Health Research,
    2000 (analysis by the unit that was randomised).
    R. Kohavi, D. Tang, Y. Xu, Trustworthy Online Controlled Experiments, 2020, chapters 14, 18
    (units of randomisation and of analysis; variance by buckets).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from cloud_hub.statistics.clustered import compare_totals
from cloud_hub.statistics.influence import MULTIPLE
from cloud_hub.statistics.samples import Contrast, Floats, Sample
from cloud_hub.statistics.sequential import log_e_value

LEAST: Final = 10
"""Buckets of an arm with requests, below which there is no verdict: with so few keys their variance
is hardly known."""

GUARD_TUNED_FOR: Final = 500
"""Independent requests an arm at which :func:`log_excess` finds most: what it has to find is gross,
and soon."""

NOTHING: Final = Contrast(np.array(0.0), np.array(np.inf), np.array(0.0), np.array(np.inf))
"""The contrast of no data."""


def compare_buckets(control: Floats, candidate: Floats, *, scale: float = 1.0) -> Contrast:
    """Difference of two arms' means, with a variance that counts buckets of keys.

    Args:
        control: how many outcomes, their sum and their sum of squares by bucket, [..., B, 3].
        candidate: the same of the other arm; its buckets hold other keys, whatever their number.
        scale: range of one outcome, as in :func:`~cloud_hub.statistics.clustered.compare`.

    Returns:
        The contrast; it is worth nothing with fewer than :data:`LEAST` buckets on an arm.
    """
    if not control.shape[-2] or not candidate.shape[-2]:
        return NOTHING
    a, b = _bounded(control), _bounded(candidate)
    nothing = np.zeros_like(a)
    # Side by side, not in pairs: bucket 7 of one arm has other keys than bucket 7 of the other.
    contrast = compare_totals(
        _sample(np.concatenate((a, nothing), axis=-2)),
        _sample(np.concatenate((nothing, b), axis=-2)),
        scale=scale,
    )
    enough = (np.minimum(filled(a), filled(b)) >= LEAST) & (contrast.n > 0)
    variance = np.fmax(contrast.variance, _pooled(a, b))
    with np.errstate(invalid="ignore"):
        n = contrast.n * contrast.variance / variance
    return Contrast(
        np.where(enough, contrast.estimate, 0.0),
        np.where(enough, variance, np.inf),
        np.where(enough, n, 0.0),
        np.where(enough, contrast.freedom, np.inf),
    )


def _pooled(a: Floats, b: Floats) -> Floats:
    """Variance of the difference if the keys of both arms are alike, as they are without an effect.

    Keys were given their arms by chance, so squared residuals of an arm are its share of all of
    them. Where few keys fail, a small arm that happens to have none of those has no residuals of
    its own, and would look certain.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        squares = np.sum(_residuals(a) ** 2, axis=-1) + np.sum(_residuals(b) ** 2, axis=-1)
        n, m = (np.sum(arm[..., 0], axis=-1) for arm in (a, b))
        buckets = filled(a) + filled(b)
        pooled: Floats = squares / (n + m) * (1 / n + 1 / m) * buckets / np.maximum(buckets - 2, 1)
    return pooled


def _residuals(arm: Floats) -> Floats:
    n, total = arm[..., 0], arm[..., 1]
    mean = np.sum(total, axis=-1, keepdims=True) / np.sum(n, axis=-1, keepdims=True)
    residuals: Floats = total - mean * n
    return residuals


def log_excess(contrast: Contrast, margin: float = 0.0) -> Floats:
    """Log e-value against "the candidate fails no more often, plus ``margin``", at each look.

    That of :func:`~cloud_hub.statistics.sequential.log_e_value` where it fails more often by more
    than the margin, else 0: fewer failures are no evidence. Reject at ``log(1 / alpha)``.

    Args:
        contrast: of failures, candidate minus control.
        margin: how many more do not matter, a share of requests.
    """
    evidence = log_e_value(contrast, GUARD_TUNED_FOR, null=margin)
    more: Floats = np.where(contrast.estimate > margin, np.maximum(evidence, 0.0), 0.0)
    return more


def opposite(buckets: Floats) -> Floats:
    """Return the same buckets of the opposite of a 0/1 outcome: wrong ones of right ones."""
    n, others = buckets[..., 0], buckets[..., 0] - buckets[..., 1]
    return np.stack([n, others, others], axis=-1)


def filled(buckets: Floats) -> Floats:
    """Return the number of buckets with outcomes, of [..., B, 3]."""
    count: Floats = np.sum(buckets[..., 0] > 0, axis=-1).astype(np.float64)
    return count


def _bounded(buckets: Floats) -> Floats:
    """The same buckets, none with more than a multiple of the median one: its mean stays."""
    n = buckets[..., 0]
    ordered = np.sort(np.where(n > 0, n, np.inf), axis=-1)
    middle = np.maximum(filled(buckets).astype(np.int64) - 1, 0) // 2
    median = np.take_along_axis(ordered, middle[..., None], axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.where(n > MULTIPLE * median, MULTIPLE * median / n, 1.0)
    return buckets * factor[..., None]


def _sample(buckets: Floats) -> Sample:
    return Sample(buckets[..., 0], buckets[..., 1], buckets[..., 2])
