"""Ratios of two totals, such as joules for each prediction, compared like means.

A device reports two numbers of a window: ``n``, such as its predictions, and ``total``, such as its
joules. The ratio of an arm is that of its sums. Windows are what is as good as independent on one
device, not what was counted in them; so a window counts as one outcome. How far windows are from
the arm's ratio takes the place of the variance of outcomes (linearisation).

Sources:
    W. Cochran, Sampling Techniques, 3rd edition, 1977, sections 6.3 and 6.4 (the ratio estimator
    and its variance).
    A. Deng, U. Knoblich, J. Lu, "Applying the Delta Method in Metric Analytics", KDD 2018.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cloud_hub.statistics.samples import Floats, Sample


@dataclass(frozen=True)
class DeviceWindowSums:
    """Sums over the windows of each device of one arm, arrays [..., D].

    ``count`` is how many windows; ``n`` and ``total`` are sums of the two numbers; the rest are
    their second moments, ``n_squares`` and ``squares`` with ``cross`` of both.
    """

    count: Floats
    n: Floats
    total: Floats
    n_squares: Floats
    cross: Floats
    squares: Floats

    @classmethod
    def by_device(cls, rows: Mapping[str, tuple[float, ...]]) -> DeviceWindowSums:
        """Arrange the six sums of each device in order of the devices' names, [D] each."""
        sums = np.array([rows[device] for device in sorted(rows)], dtype=np.float64)
        return cls(*sums.reshape(-1, 6).T)


def as_sample(windows: DeviceWindowSums) -> Sample:
    """Return the arm as a sample of outcomes, one for each window, whose mean is the arm's ratio.

    A window's outcome is the ratio ``r`` plus how far the window is from it, ``(total - r * n)`` by
    the arm's average ``n``. Where all windows have the same ``n`` that is the window's own ratio;
    elsewhere one with hardly any ``n``, whose ratio is anything, is no outlier.

    Args:
        windows: of one arm, [..., D].
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        all_n = windows.n.sum(axis=-1, keepdims=True)
        ratio = windows.total.sum(axis=-1, keepdims=True) / all_n
        scale = windows.count.sum(axis=-1, keepdims=True) / all_n
        away = scale * (windows.total - ratio * windows.n)
        # Sum over windows of (total - ratio * n)^2, expanded into the moments that were sent.
        apart = windows.squares - 2 * ratio * windows.cross + ratio**2 * windows.n_squares
        total = windows.count * ratio + away
        squares = windows.count * ratio**2 + 2 * ratio * away + scale**2 * np.maximum(apart, 0.0)
    # Without anything counted on the whole arm there is no ratio, and so no outcome.
    n = np.where(all_n > 0, windows.count, 0.0)
    return Sample(n, np.nan_to_num(total), np.nan_to_num(squares))
