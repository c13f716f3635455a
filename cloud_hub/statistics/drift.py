"""Has a distribution moved? From histograms in the layout of the reference profile alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import kolmogorov
from scipy.stats import chi2

FDR: Final = 0.05
"""False discovery rate over the features of a model."""

EFFECT: Final = 0.1
"""Smallest KS distance, or bias-corrected PSI, that counts as drift however significant."""


@dataclass(frozen=True)
class FeatureDrift:
    """One feature: KS distance, PSI less its bias, Jensen-Shannon divergence (bits), p-value."""

    name: str
    n: int
    ks: float
    psi: float
    js: float
    p: float
    drifted: bool = False


def feature_drift(name: str, reference: Sequence[int], observed: Sequence[int]) -> FeatureDrift:
    """Compare two histograms [bins + 2]; the p-value is Bonferroni-corrected over two tests.

    The tests are the two-sample Kolmogorov-Smirnov test on the bin edges (conservative on binned
    data) and Pearson's chi-squared test of homogeneity over all bins, missing and outside included.
    """
    a, b = np.asarray(reference, dtype=np.float64), np.asarray(observed, dtype=np.float64)
    n, m = a.sum(), b.sum()
    if n == 0 or m == 0:
        return FeatureDrift(name, int(m), 0.0, 0.0, 0.0, 1.0)
    distance = float(np.abs(np.cumsum(a[:-2]) / n - np.cumsum(b[:-2]) / m).max(initial=0.0))
    ks_p = float(kolmogorov(distance * np.sqrt(n * m / (n + m))))
    p = min(1.0, 2 * min(ks_p, _homogeneity(a, b)))
    return FeatureDrift(name, int(m), distance, corrected_psi(a, b), jensen_shannon(a, b), p)


def _homogeneity(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """P-value of Pearson's chi-squared test that both histograms have one distribution."""
    a, b = _pooled_small(a, b)
    both = np.stack([a, b])
    expected = both.sum(axis=1, keepdims=True) * both.sum(axis=0) / both.sum()
    if len(a) < 2:
        return 1.0
    statistic = ((both - expected) ** 2 / expected).sum()
    return float(chi2.sf(statistic, len(a) - 1))


def _pooled_small(
    a: NDArray[np.float64], b: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bins whose smaller expected count is below five are pooled, as the test's theory asks."""
    share = min(a.sum(), b.sum()) / (a.sum() + b.sum())
    small = (a + b) * share < 5
    pooled_a = np.append(a[~small], a[small].sum())
    pooled_b = np.append(b[~small], b[small].sum())
    kept = pooled_a + pooled_b > 0
    return pooled_a[kept], pooled_b[kept]


def corrected_psi(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Population stability index less its expectation without drift, (B - 1)(1/n + 1/m).

    Source: B. Yurdakul, J. Naranjo, "Statistical properties of the population stability index",
    Journal of Risk Model Validation 14(4), 2020.
    """
    used = a + b > 0
    p = (a[used] + 0.5) / (a[used] + 0.5).sum()
    q = (b[used] + 0.5) / (b[used] + 0.5).sum()
    bias = (int(used.sum()) - 1) * (1 / a.sum() + 1 / b.sum())
    return float(((q - p) * np.log(q / p)).sum() - bias)


def jensen_shannon(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Jensen-Shannon divergence in bits, in [0, 1]."""
    p, q = a / a.sum(), b / b.sum()
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.where(p > 0, p * np.log2(p / middle), 0.0).sum()
        right = np.where(q > 0, q * np.log2(q / middle), 0.0).sum()
    return float((left + right) / 2)


def model_drift(
    reference: Mapping[str, Sequence[int]], observed: Mapping[str, Sequence[int]]
) -> list[FeatureDrift]:
    """Every feature of ``reference``, the drifted ones marked: significant at :data:`FDR` over all
    features, and with an effect of at least :data:`EFFECT`. The worst come first.

    Source: Y. Benjamini, Y. Hochberg, "Controlling the false discovery rate", JRSS B 57, 1995.
    """
    found = [feature_drift(name, reference[name], observed[name]) for name in reference]
    found.sort(key=lambda feature: feature.p)
    limits = FDR * np.arange(1, len(found) + 1) / max(1, len(found))
    passing = [i for i, feature in enumerate(found) if feature.p <= limits[i]]
    significant = set(range(passing[-1] + 1)) if passing else set()
    marked = [
        FeatureDrift(**{**vars(f), "drifted": i in significant and max(f.ks, f.psi) >= EFFECT})
        for i, f in enumerate(found)
    ]
    return sorted(marked, key=lambda f: (-f.drifted, -f.ks))


def summary(features: Sequence[FeatureDrift], most: int = 5) -> dict[str, Any]:
    """Evidence a person can read."""
    drifted = [f for f in features if f.drifted]
    return {
        "drifted": len(drifted),
        "features": len(features),
        "worst": [
            {"feature": f.name, "n": f.n, "ks": round(f.ks, 3), "psi": round(f.psi, 3), "p": f.p}
            for f in features[:most]
        ],
    }
