"""Likelihood of failures by device, on a grid of log odds: what devices are usually like, how they
change, and bad hours.

A device's requests are not independent witnesses: a dirty lens fails them all. So every device has
log odds of failure of its own. They are about the fleet's by Student's t with three degrees of
freedom, or devices are alike but for some that are dirty (:data:`DIRTY`). From its own past to the
trial a device changes little, and two of a thousand by any amount (:func:`changes`). In a bad
period any share of a device's requests may fail (:data:`BAD_PERIODS`). None of these numbers is
estimated: they are *structures*, over which evidence is averaged for a candidate that is worse, and
of which the best is taken for one that is not.

Sources:
    K. Lange, R. Little, J. Taylor, "Robust Statistical Modeling Using the t Distribution", JASA
    84(408), 1989 (heavy tails against single outliers).
    P. Huber, "A Robust Version of the Probability Ratio Test", Annals of Mathematical Statistics
    36(6), 1965 (contaminated null models: one observation proves little).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.deferred.libraries import betaln, csr_matrix

if TYPE_CHECKING:
    from cloud_hub.statistics.samples import Floats

STEP: Final = 1 / 8
GRID: Final[Floats] = np.arange(-10, 4 + STEP / 2, STEP)
"""Log odds of failure, [G]: from 1 of 22,000 to 98%."""

SCALES: Final = (0.1, 0.3, 0.7, 1.5)
"""Scales of Student's t by which devices' log odds may differ."""

DIRTY: Final = (0.15, 0.15, 0.25, 3.5)
"""Or: devices are alike (their standard deviation) but for a share that fails more often, by log
odds between these, which is 1.3 to 30 times as often."""

DRIFTS: Final = (0.1, 0.3)
"""Standard deviations by which devices' log odds may change from their past to the trial."""

JUMPS: Final = (0.002, 2.0)
"""Share of devices that change by anything, and the standard deviation of that."""

BAD_PERIODS: Final = (0.0, 0.03)
"""Shares of a device's periods in which any share of its requests may fail."""

ENOUGH: Final = 128.0
"""Failures of a device beyond which more of them say no more: how devices differ remains."""


@dataclass(frozen=True)
class Cells:
    """Failures of requests by device and period: arrays [C].

    ``offset`` is the period's log odds against the usual ones, ``devices`` the number of devices.
    """

    device: NDArray[np.intp]
    failed: Floats
    requests: Floats
    offset: Floats
    devices: int

    def log_likelihood(self, shift: float, bad: float) -> Floats:
        """Log-likelihood of each device at each log odds of the grid, [D, G].

        Args:
            shift: of all log odds.
            bad: share of periods in which any share of requests may fail.
        """
        if not len(self.device):
            return np.zeros((self.devices, len(GRID)))
        failed, requests, offset = self._distinct[0].T[:, :, None]
        each = binomial(failed, requests, within_grid(GRID + offset + shift))
        if bad:
            any_share = betaln(failed + 0.5, requests - failed + 0.5) - betaln(0.5, 0.5)
            each = np.logaddexp(np.log1p(-bad) + each, np.log(bad) + any_share)
        return np.asarray(self._times @ each, dtype=np.float64)

    def kinds_by_device(self) -> NDArray[np.float64]:
        """Return which cells each device has, in any order of periods, [D, most cells of a device].

        A row has the numbers of the device's different cells from 1, in order, and zeros after
        them: devices with equal rows have equal likelihoods.
        """
        kind = self._distinct[1]
        order = np.lexsort((kind, self.device))
        device = self.device[order]
        place = np.arange(len(device)) - np.searchsorted(device, device)
        rows = np.zeros((self.devices, int(place.max(initial=-1)) + 1))
        rows[device, place] = kind[order] + 1
        return rows

    def only(self, chosen: NDArray[np.intp]) -> Cells:
        """Return the cells of some devices, which are numbered anew; ``chosen`` is [K]."""
        number = np.full(self.devices, -1, dtype=np.intp)
        number[chosen] = np.arange(len(chosen))
        device = number[self.device]
        there = device >= 0
        return Cells(
            device[there], self.failed[there], self.requests[there], self.offset[there],
            len(chosen),
        )  # fmt: skip

    @cached_property
    def _distinct(self) -> tuple[Floats, NDArray[np.intp]]:
        """Different cells, [kinds, 3], and which of them each cell is, [C].

        Most devices have the same few counts: each is computed once.
        """
        cells = np.stack([self.failed, self.requests, self.offset], axis=1)
        kinds, kind = np.unique(cells, axis=0, return_inverse=True)
        return kinds, kind.reshape(-1)

    @cached_property
    def _times(self) -> Any:
        """How many of each kind of cell a device has, [D, kinds], sparse."""
        kinds, kind = self._distinct
        where = (self.device, kind)
        return csr_matrix((np.ones(len(self.device)), where), shape=(self.devices, len(kinds)))


def equal_rows(rows: NDArray[np.float64]) -> tuple[NDArray[np.intp], Floats]:
    """Return the first of each set of equal rows, and how many rows are equal to it, both [K].

    Args:
        rows: of any number of columns, [D, columns].
    """
    # Not np.unique, which sorts whole rows: ten times as long for a thousand of twenty columns.
    keys = [row.tobytes() for row in np.ascontiguousarray(rows)]
    first: dict[bytes, int] = {}
    for place, key in enumerate(keys):
        first.setdefault(key, place)
    times = Counter(keys)
    return (
        np.fromiter(first.values(), np.intp, len(first)),
        np.array([times[key] for key in first], dtype=np.float64),
    )


def binomial(failed: Floats, requests: Floats, log_odds: Floats) -> Floats:
    """Log-likelihood of failures, without the coefficient that no log odds change."""
    return np.asarray(failed * log_odds - requests * np.logaddexp(0, log_odds))


def within_grid(log_odds: Floats) -> Floats:
    """Log odds that are no higher than the grid's highest.

    Where all requests fail on both arms, odds beyond the grid on one of them would fit it better.

    Args:
        log_odds: those of the grid, shifted.
    """
    return np.asarray(np.minimum(log_odds, GRID[-1]))


def tempering(failed: Floats) -> Floats:
    """Power of a device's likelihood with which it says no more than :data:`ENOUGH` failures."""
    return np.minimum(1.0, ENOUGH / np.maximum(failed, 1.0))


@cache
def usual() -> Floats:
    """Chance of a device's log odds (rows) by the fleet's (columns), by structure, [U, G, G]."""
    apart = GRID[:, None] - GRID[None, :]
    students = [(1 + (apart / scale) ** 2 / 3) ** -2 for scale in SCALES]
    share, near, least, most = DIRTY
    dirty = _columns(np.where((apart >= least) & (apart <= most), 1.0, 1e-12))
    mixed = (1 - share) * _columns(_normal(apart, near)) + share * dirty
    return np.array([_columns(table) for table in (*students, mixed)])


@cache
def changes() -> Floats:
    """Chance of new log odds (columns) by a device's own before (rows), by structure, [W, G, G]."""
    apart = GRID[:, None] - GRID[None, :]
    share, far = JUMPS
    jump = _columns(_normal(apart, far)).T
    return np.array([(1 - share) * _columns(_normal(apart, sd)).T + share * jump for sd in DRIFTS])


@cache
def spread_by(sd: float) -> Floats:
    """Chance of log odds (rows) that are normal about others (columns), [G, G]."""
    return _columns(_normal(GRID[:, None] - GRID[None, :], sd))


def averaged(log_likelihood: Floats, chances: Floats) -> Floats:
    """Log of the likelihood averaged over the grid, [D, K].

    Args:
        log_likelihood: by device, [D, G].
        chances: of the grid's log odds, [G, K].
    """
    most = log_likelihood.max(axis=1, keepdims=True)
    # What is beyond e^-690 of the best is nothing; its logarithm must be finite.
    return np.asarray(np.log(np.exp(log_likelihood - most) @ chances + 1e-300) + most)


def _normal(apart: Floats, sd: float) -> Floats:
    return np.asarray(np.exp(-0.5 * (apart / sd) ** 2))


def _columns(table: Floats) -> Floats:
    return np.asarray(table / table.sum(axis=0))
