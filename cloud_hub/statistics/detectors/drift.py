"""Drift: whether a distribution has moved, from histograms in the layout of the reference profile.

A feature *drifted* if it is significant at :data:`FDR` over all features of the model, and the
effect is large enough to matter: :data:`EFFECT`, or :data:`SHARE` of one category. If it is
significant and small it *shifted*: it is shown and raises no alarm.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from cloud_hub.statistics.detectors.dependence import WINDOWS
from cloud_hub.statistics.detectors.distances import (
    Counts,
    corrected_psi,
    jensen_shannon,
    ks_distance,
    wasserstein,
)
from cloud_hub.statistics.detectors.two_samples import (
    FEW,
    MANY,
    RandomSigns,
    p_value,
    pooled_p,
    standardised,
)
from cloud_hub.statistics.multiple import discoveries

FDR: Final = 0.05
"""False discovery rate over the features of a model."""

EFFECT: Final = 0.1
"""Smallest KS distance, or bias-corrected PSI, that counts as drift however significant."""


SHARE: Final = 0.02
"""Smallest change of the share of a category that counts, if it at least doubled or halved. From 1%
to 5% is a KS distance of 0.04, which no category that was rare would ever bring to 0.1.
"""


@dataclass(frozen=True)
class FeatureDrift:
    """One feature: KS distance, PSI less its bias, Jensen-Shannon divergence (bits), Wasserstein
    distance (training ranks), p-value. ``drifted`` is what alarms; ``shifted`` is significant only.
    ``share`` is the largest change of a category that doubled or halved. ``verdict`` is false where
    too few devices have too few earlier windows to tell chance from drift.
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
    share: float = 0.0
    verdict: bool = True

    @property
    def effect(self) -> float:
        """Size of the drift, which is compared with :data:`EFFECT`."""
        return max(self.ks, self.psi)

    @property
    def matters(self) -> bool:
        """Whether the effect is large enough to alarm, if it is significant."""
        return self.effect >= EFFECT or self.share >= SHARE


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
    reference: Mapping[str, Any],
    observed: Mapping[str, Any],
    *,
    seed: int = 0,
    past: Mapping[str, Any] | None = None,
    categorical: Collection[str] = (),
) -> list[FeatureDrift]:
    """Compare every feature of ``reference``, from histograms by device; the worst come first.

    P-values as in :func:`~cloud_hub.statistics.detectors.two_samples.p_value`; all features share
    one draw of random signs, so their dependence is kept.

    Args:
        reference: by name [bins + 2] for all devices, or [devices, bins + 2]: each device's own.
        observed: by name [devices, bins + 2]; devices without observations are left out.
        seed: of the permutations.
        past: by name [windows, bins + 2], earlier windows over all devices. With it, a fleet too
            small to be told by its devices gets no verdict from fewer than
            :data:`~cloud_hub.statistics.detectors.dependence.WINDOWS`; without it, its rows are
            taken to be independent.
        categorical: names whose bins are categories.
    """
    if not reference:
        return []
    devices = max((len(rows) for rows in observed.values()), default=0)
    # The smallest p-value must resolve the strictest step of the false discovery control,
    # FDR / features, with room: hence so many rounds.
    rounds = round(4 * max(50, len(reference)) / FDR)
    signs = None
    if devices >= MANY:
        signs = RandomSigns(devices, min(rounds, 20_000), seed)
    return judged(
        [
            _fleet_feature(
                name,
                np.asarray(counts, dtype=np.float64),
                np.atleast_2d(np.asarray(observed[name], dtype=np.float64)),
                signs,
                None if past is None else past.get(name, ()),
                name in categorical,
            )
            for name, counts in reference.items()
        ]
    )


def _fleet_feature(
    name: str,
    a: Counts,
    b: Counts,
    signs: RandomSigns | None,
    past: Any,
    categorical: bool,
) -> FeatureDrift:
    there = b.sum(axis=1) > 0
    if a.ndim == 2:
        there &= a.sum(axis=1) > 0
        a = a[there]
    if not there.any() or not a.sum():
        return FeatureDrift(name, int(b.sum()), 0.0, 0.0, 0.0, 1.0)
    if signs is not None and not there.all():
        signs = signs.of(there)
    b = b[there]
    windows = None if past is None else earlier_windows(past)
    # Devices tell chance from drift; where they are too few, or each is its own reference, windows.
    told = len(b) >= (FEW if a.ndim == 1 else MANY)
    verdict = told or past is None or windows is not None
    p = p_value(a, b, signs, windows) if verdict else 1.0
    before, now = standardised(a, b), b.sum(axis=0)
    share = largest_share(before, now) if categorical else 0.0
    return replace(_described(name, before, now, p), share=share, verdict=verdict)


def earlier_windows(past: Any) -> Counts | None:
    """Return the windows that have rows, [windows, bins + 2]; ``None`` if they are too few."""
    windows = np.asarray(past, dtype=np.float64)
    if len(windows):
        windows = windows[windows.sum(axis=1) > 0]
    return windows if len(windows) >= WINDOWS else None


def largest_share(before: Counts, after: Counts) -> float:
    """Largest change of the share of a category, of those that at least doubled or halved.

    Args:
        before: histogram [categories + 2], not empty.
        after: likewise. Missing and outside, the last two, are watched as domain.
    """
    p, q = before[:-2] / before.sum(), after[:-2] / after.sum()
    times = (q >= 2 * p) | (q <= p / 2)
    return float(np.abs(q - p)[times].max(initial=0.0))


def judged(features: Sequence[FeatureDrift]) -> list[FeatureDrift]:
    """Mark features as drifted or shifted, with :data:`FDR` over all of them."""
    significant = discoveries([feature.p for feature in features], FDR)
    marked = [
        replace(
            feature,
            drifted=i in significant and feature.matters,
            shifted=i in significant and not feature.matters,
        )
        for i, feature in enumerate(features)
    ]
    return sorted(marked, key=lambda f: (-f.drifted, -f.shifted, -f.ks))
