"""Drift: whether a distribution has moved, from histograms in the layout of the reference profile.

A feature *drifted* if it is significant at :data:`FDR` over all features of the model, and the
effect is large enough to matter (:data:`EFFECT`). If it is significant and small it *shifted*: it
is shown and raises no alarm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from cloud_hub.statistics.detectors.distances import (
    Counts,
    corrected_psi,
    jensen_shannon,
    ks_distance,
    wasserstein,
)
from cloud_hub.statistics.detectors.two_samples import (
    MANY,
    RandomSigns,
    p_value,
    pooled_p,
    standardised,
)
from cloud_hub.statistics.false_discovery import discoveries

FDR: Final = 0.05
"""False discovery rate over the features of a model."""

EFFECT: Final = 0.1
"""Smallest KS distance, or bias-corrected PSI, that counts as drift however significant."""


@dataclass(frozen=True)
class FeatureDrift:
    """One feature: KS distance, PSI less its bias, Jensen-Shannon divergence (bits), Wasserstein
    distance (training ranks), p-value. ``drifted`` is what alarms; ``shifted`` is significant only.
    """

    name: str
    n: int
    ks: float
    psi: float
    js: float
    p: float
    drifted: bool = False
    wasserstein: float = 0.0
    shifted: bool = False

    @property
    def effect(self) -> float:
        """Size of the drift, which is compared with :data:`EFFECT`."""
        return max(self.ks, self.psi)


def feature_drift(name: str, reference: Sequence[int], observed: Sequence[int]) -> FeatureDrift:
    """Compare two histograms of independent observations.

    Args:
        name: of the feature.
        reference: histogram [bins + 2] at training.
        observed: histogram [bins + 2] of a window.
    """
    a, b = np.asarray(reference, dtype=np.float64), np.asarray(observed, dtype=np.float64)
    if not a.sum() or not b.sum():
        return FeatureDrift(name, int(b.sum()), 0.0, 0.0, 0.0, 1.0)
    return _described(name, a, b, pooled_p(a, b))


def _described(name: str, a: Counts, b: Counts, p: float) -> FeatureDrift:
    return FeatureDrift(
        name,
        int(b.sum()),
        ks_distance(a, b),
        corrected_psi(a, b),
        jensen_shannon(a, b),
        p,
        wasserstein=wasserstein(a, b),
    )


def model_drift(
    reference: Mapping[str, Sequence[int]], observed: Mapping[str, Sequence[int]]
) -> list[FeatureDrift]:
    """Compare every feature of ``reference``, from one histogram each; the worst come first.

    For a fleet use :func:`fleet_drift`: where devices differ, this one raises false alarms.

    Args:
        reference: histogram [bins + 2] by feature.
        observed: the same of a window, with the same features.
    """
    return judged([feature_drift(name, reference[name], observed[name]) for name in reference])


def fleet_drift(
    reference: Mapping[str, Any], observed: Mapping[str, Any], *, seed: int = 0
) -> list[FeatureDrift]:
    """Compare every feature of ``reference``, from histograms by device; the worst come first.

    P-values as in :func:`~cloud_hub.statistics.detectors.two_samples.p_value`; all features share
    one draw of random signs, so their dependence is kept.

    Args:
        reference: by name [bins + 2] for all devices, or [devices, bins + 2]: each device's own.
        observed: by name [devices, bins + 2]; devices without observations are left out.
        seed: of the permutations.
    """
    devices = max((len(rows) for rows in observed.values()), default=0)
    # The smallest p-value must resolve the strictest step of the false discovery control,
    # FDR / features, with room: hence so many rounds.
    rounds = round(4 * max(50, len(reference)) / FDR)
    signs = None
    if devices >= MANY:
        signs = RandomSigns(devices, min(rounds, 20_000), np.random.default_rng(seed))
    return judged([_fleet_feature(n, reference[n], observed[n], signs) for n in reference])


def _fleet_feature(
    name: str, reference: Any, observed: Any, signs: RandomSigns | None
) -> FeatureDrift:
    a = np.asarray(reference, dtype=np.float64)
    b = np.atleast_2d(np.asarray(observed, dtype=np.float64))
    there = b.sum(axis=1) > 0
    if a.ndim == 2:
        there &= a.sum(axis=1) > 0
        a = a[there]
    if not there.any() or not a.sum():
        return FeatureDrift(name, int(b.sum()), 0.0, 0.0, 0.0, 1.0)
    if signs is not None and not there.all():
        signs = signs.of(there)
    b = b[there]
    return _described(name, standardised(a, b), b.sum(axis=0), p_value(a, b, signs))


def judged(features: Sequence[FeatureDrift]) -> list[FeatureDrift]:
    """Mark features as drifted or shifted, with :data:`FDR` over all of them."""
    significant = discoveries([feature.p for feature in features], FDR)
    marked = [
        replace(
            feature,
            drifted=i in significant and feature.effect >= EFFECT,
            shifted=i in significant and feature.effect < EFFECT,
        )
        for i, feature in enumerate(features)
    ]
    return sorted(marked, key=lambda f: (-f.drifted, -f.shifted, -f.ks))
