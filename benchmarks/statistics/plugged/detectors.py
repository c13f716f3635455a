"""Rules by which a change is seen in a stream of windows: ours, and those that are usual."""

from __future__ import annotations

import functools
from typing import Final

import numpy as np

from benchmarks.statistics.plugged.protocol import Alarms, Detect
from cloud_hub.statistics.detectors.concept import MEAN_RUN, ErrorDetector, base_rate
from cloud_hub.statistics.detectors.distances import psi
from cloud_hub.statistics.detectors.drift import fleet_drift
from cloud_hub.statistics.detectors.two_samples import homogeneity
from cloud_hub.statistics.samples import Floats

BINS: Final = 32
PSI_LIMITS: Final = (0.1, 0.2, 0.25)


def binned(reference: Floats, windows: Floats) -> tuple[Floats, Floats]:
    """Histograms over the reference's quantiles, as devices report them.

    Args:
        reference: values [rows].
        windows: values [windows, devices, rows].

    Returns:
        Arrays [BINS + 2] and [windows, devices, BINS + 2]; the last two are missing and outside.
    """
    edges = np.unique(np.quantile(reference, np.linspace(0, 1, BINS + 1)))
    size = len(edges) + 1
    places = np.searchsorted(edges[1:-1], windows, side="right")
    places[(windows < edges[0]) | (windows > edges[-1])] = size - 1
    shape = windows.shape[:-1]
    rows = places.reshape(-1, windows.shape[-1]) + size * np.arange(np.prod(shape))[:, None]
    counts = np.bincount(rows.ravel(), minlength=size * int(np.prod(shape)))
    own = np.bincount(np.searchsorted(edges[1:-1], reference, side="right"), minlength=size)
    return own.astype(float), counts.reshape(*shape, size).astype(float)


def this_hub(reference: Floats, windows: Floats) -> Alarms:
    """Drift of a feature: significant by device, and large enough to matter."""
    training, counts = binned(reference, windows)
    alarms = [
        fleet_drift({"x": training}, {"x": window}, seed=i)[0].drifted
        for i, window in enumerate(counts)
    ]
    return np.array(alarms)


def this_hub_on_errors(reference: Floats, windows: Floats) -> Alarms:
    """The detector of errors on late labels, Shiryaev and Roberts' as an e-detector."""
    base = base_rate(int(reference.sum()), reference.size)
    detector, alarms = ErrorDetector(), []
    for i, window in enumerate(windows):
        detector.add(i, [(window.size, int(window.sum()), base)])
        alarms.append(detector.evidence >= MEAN_RUN)
    return np.array(alarms)


def fixed_psi(reference: Floats, windows: Floats, limit: float) -> Alarms:
    """PSI of all rows of a window against training, above a fixed limit."""
    training, counts = binned(reference, windows)
    return np.array([psi(training, window.sum(axis=0)) > limit for window in counts])


def pooled_chi_squared(reference: Floats, windows: Floats) -> Alarms:
    """Chi-squared test of all rows of a window at 5%, as if rows were independent."""
    training, counts = binned(reference, windows)
    return np.array([homogeneity(training, window.sum(axis=0)) <= 0.05 for window in counts])


def error_rate_z(reference: Floats, windows: Floats) -> Alarms:
    """Error rate of a window three standard errors above training's."""
    base = reference.mean()
    rates = windows.reshape(len(windows), -1).mean(axis=1)
    error = np.sqrt(base * (1 - base) / windows[0].size)
    return np.asarray(rates > base + 3 * error)


DETECTORS: Final[dict[str, Detect]] = {
    "this hub": this_hub,
    **{f"PSI > {v:g}": functools.partial(fixed_psi, limit=v) for v in PSI_LIMITS},
    "pooled chi-squared": pooled_chi_squared,
}
"""On values of a feature."""

ON_ERRORS: Final[dict[str, Detect]] = {
    "this hub": this_hub_on_errors,
    "three standard errors": error_rate_z,
}
"""On errors, 0 and 1."""
