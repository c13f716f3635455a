"""Values of policies that were not the ones shown, from weighted outcomes by device.

Lists are chosen by chance among a few, with chances that are known exactly. Of each list whose
outcome came a device adds up, for a policy, ``w`` (one over the chance of the shown list if the
policy would have shown it, else 0), ``w r`` with the reward ``r``, and the doubly robust
``d = q(the policy's) + w (r - q(shown))`` with a model ``q``. Three estimates follow; their errors
are those of means by device (:mod:`cloud_hub.statistics.clustered`).

Sources:
    D. Horvitz, D. Thompson, "A Generalization of Sampling Without Replacement from a Finite
    Universe", JASA 47(260), 1952.
    A. Swaminathan, T. Joachims, "The Self-Normalized Estimator for Counterfactual Learning", NIPS
    2015.
    M. Dudík, J. Langford, L. Li, "Doubly Robust Policy Evaluation and Learning", ICML 2011.
    W. Cochran, Sampling Techniques, 3rd edition, 1977, chapter 6 (linearised ratios).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from cloud_hub.statistics.clustered import compare_totals
from cloud_hub.statistics.samples import Contrast, Floats, Sample
from cloud_hub.statistics.sequential import interval

Estimator = Literal["importance", "self_normalised", "robust"]

LEAST_EFFECTIVE: Final = 10.0
"""Lists that the weights are worth, below which nothing is said."""


@dataclass(frozen=True)
class PolicyOutcomes:
    """Sums of one policy by device, arrays [..., D].

    ``lists`` could have been the policy's; ``weight`` is the sum of ``w``, ``reward`` of ``w r``,
    ``cross`` of ``w^2 r``, ``robust`` of ``d``; squares are of the same.
    """

    lists: Floats
    weight: Floats
    weight_squares: Floats
    reward: Floats
    reward_squares: Floats
    cross: Floats
    robust: Floats
    robust_squares: Floats

    @classmethod
    def by_device(cls, rows: Mapping[str, tuple[float, ...]]) -> PolicyOutcomes:
        """Arrange the eight sums of each device in order of the devices' names, [D] each."""
        sums = np.array([rows[device] for device in sorted(rows)], dtype=np.float64)
        return cls(*sums.reshape(-1, 8).T)

    @property
    def effective(self) -> Floats:
        """Lists that the weights are worth (Kish): the square of their sum by that of squares."""
        squares = self.weight_squares.sum(axis=-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(squares > 0, self.weight.sum(axis=-1) ** 2 / squares, 0.0)


def outcome_sample(outcomes: PolicyOutcomes, estimator: Estimator) -> Sample:
    """Return outcomes, one for each list, whose mean over all lists is the policy's value.

    Args:
        outcomes: of one policy.
        estimator: ``importance``: ``w r``. ``self_normalised``: the ratio of the sums of ``w r``
            and ``w``, linearised about itself. ``robust``: ``d``.
    """
    o = outcomes
    if estimator == "importance":
        return Sample(o.lists, o.reward, o.reward_squares)
    if estimator == "robust":
        return Sample(o.lists, o.robust, o.robust_squares)
    with np.errstate(divide="ignore", invalid="ignore"):
        all_weight = o.weight.sum(axis=-1, keepdims=True)
        ratio = o.reward.sum(axis=-1, keepdims=True) / all_weight
        scale = o.lists.sum(axis=-1, keepdims=True) / all_weight
        away = scale * (o.reward - ratio * o.weight)
        # Sum over lists of (w r - ratio w)^2, expanded into the moments that were sent.
        apart = o.reward_squares - 2 * ratio * o.cross + ratio**2 * o.weight_squares
        total = o.lists * ratio + away
        squares = o.lists * ratio**2 + 2 * ratio * away + scale**2 * np.maximum(apart, 0.0)
    return Sample(o.lists, np.nan_to_num(total), np.nan_to_num(squares))


def policy_value(outcomes: PolicyOutcomes, estimator: Estimator) -> Contrast:
    """Return the value of a policy, as the difference from nothing.

    Of few lists that the policy would have shown, nothing is known. Assumes that devices are
    independent, and nothing of the lists of one; ``q`` may be as wrong as it likes.

    Args:
        outcomes: of the policy.
        estimator: as for :func:`outcome_sample`.
    """
    sample = outcome_sample(outcomes, estimator)
    nothing = Sample(sample.n, np.zeros_like(sample.n), np.zeros_like(sample.n))
    return _known(compare_totals(nothing, sample, scale=1.0), outcomes)


def policy_gain(
    baseline: PolicyOutcomes, policy: PolicyOutcomes, estimator: Estimator = "robust"
) -> Contrast:
    """Return how much better a policy is than another one, by the same lists of the same devices.

    Args:
        baseline: that is compared with.
        policy: the other one; devices in the same order.
        estimator: as for :func:`outcome_sample`.
    """
    pair = (outcome_sample(each, estimator) for each in (baseline, policy))
    return _known(_known(compare_totals(*pair, scale=1.0), baseline), policy)


def value_interval(contrast: Contrast, alpha: float = 0.05) -> tuple[Floats, Floats]:
    """Return an interval of a value or a gain that holds at every look.

    Args:
        contrast: of :func:`policy_value` or :func:`policy_gain`.
        alpha: chance that it ever misses.

    Returns:
        Lower and upper ends; infinite where nothing is known.
    """
    return interval(contrast, alpha, TUNED_FOR)


TUNED_FOR: Final = 1_000
"""Independent outcomes at which intervals are tightest: weights leave few."""


def _known(contrast: Contrast, outcomes: PolicyOutcomes) -> Contrast:
    """The contrast, or none where the weights are worth too few lists."""
    enough = outcomes.effective >= LEAST_EFFECTIVE
    return Contrast(
        np.where(enough, contrast.estimate, 0.0),
        np.where(enough, contrast.variance, np.inf),
        np.where(enough, contrast.n, 0.0),
        contrast.freedom,
    )
