"""E-process on failures: evidence that a candidate fails more often, on devices that differ.

A ratio of likelihoods of all counts by device and period. In the numerator the candidate's log odds
are higher, averaged over :data:`RISKS` and over the structures of
:mod:`cloud_hub.statistics.device_risks`; in the denominator they are not, with the structure that
explains the counts best. For each structure the ratio is a mixture martingale under it, so the
smallest of them is an e-process under all: it exceeds ``1 / alpha`` at any look with chance
``alpha`` at most. The fleet's own level is averaged over a flat prior in both, as is usual for a
parameter of location.

Each device is held against the others and, where it has one, against its own past. Assumes that
devices are independent but for bad hours of all, and that few of them change suddenly against their
past. It fails where one candidate device on its own turns dirty while it tries: that is not told
from a bad candidate, which is what ``minimum_devices`` is for. It is conservative where devices are
few.

Sources:
    A. Ramdas, P. Grünwald, V. Vovk, G. Shafer, "Game-theoretic statistics and safe anytime-valid
    inference", Statistical Science 38(4), 2023 (e-processes, mixtures).
    L. Wasserman, A. Ramdas, S. Balakrishnan, "Universal inference", PNAS 117(29), 2020 (the
    denominator at the best of the null's models).
    R. Turner, A. Ly, P. Grünwald, "Generic E-variables for exact sequential k-sample tests that
    allow for optional stopping", arXiv:2106.02693 (safe tests of two proportions).
    M. Pérez-Ortiz, T. Lardy, R. de Heide, P. Grünwald, "E-statistics, group invariance and
    anytime-valid testing", Annals of Statistics 52(4), 2024 (flat priors of a location).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.deferred.libraries import betainc, betaln, logsumexp
from cloud_hub.statistics.device_risks import (
    BAD_PERIODS,
    DRIFTS,
    GRID,
    STEP,
    averaged,
    binomial,
    changes,
    equal_rows,
    spread_by,
    tempering,
    usual,
    within_grid,
)
from cloud_hub.statistics.heterogeneity import SPREAD, FailureCounts
from cloud_hub.statistics.samples import Floats

RISKS: Final = (
    (0.25, 0.1),
    (0.75, 0.27),
    (1.125, 0.22),
    (1.75, 0.13),
    (2.375, 0.15),
    (3.25, 0.06),
    (4.25, 0.04),
    (5.5, 0.03),
)
"""Log odds by which a candidate may be worse, 1.3 to 240 times, and how much is bet on each."""

BETS: Final = ((0.8, 0.2), (0.8, 0.2), (0.65, 0.12, 0.06, 0.07, 0.1))
"""How much is bet on each share of bad periods, each drift, and each way that devices differ."""

LEVELS: Final = (-2.5, 1.0)
"""Log odds of the fleet against those of all counts together, between which they are averaged."""

COMMON_CHANGES: Final = (0.5, 0.5)
"""By how much all devices may have changed since their past: its standard deviation, and how far
around the likeliest it is averaged."""

ON_ALL: Final = 0.75
"""Prior weight of a candidate that fails on every device; else it fails on some share of them."""


@dataclass(frozen=True)
class FailureEvidence:
    """Evidence that the candidate's failures are more.

    ``log_e``: reject at ``log(1 / alpha)``. ``allowed_risk`` is the relative risk that it is held
    against.
    """

    log_e: float
    allowed_risk: float


def judge_failures(failures: FailureCounts, *, margin: float = 0.0) -> FailureEvidence:
    """Evidence against "the candidate fails no more often than the control, plus ``margin``".

    The margin becomes log odds by the control's own rate.

    Args:
        failures: of both arms, by device and period, with the devices' past where it is known.
        margin: absolute, a share of requests.
    """
    requests = failures.of_arm(failures.requests, candidate=False).sum()
    failed = failures.of_arm(failures.failed, candidate=False).sum()
    mine = failures.of_arm(failures.requests, candidate=True).sum()
    # Half a failure more keeps the odds finite where the control has none yet.
    rate = min((failed + 0.5) / (requests + 1), 0.999)
    allowed = min(rate + margin, 0.9995)
    if not (requests and mine):
        return FailureEvidence(0.0, allowed / rate)
    log_e = _log_ratio(failures, _log_odds(allowed) - _log_odds(rate))
    return FailureEvidence(log_e, allowed / rate)


def _log_ratio(failures: FailureCounts, allowed: float) -> float:
    """Log of the averaged likelihood over the best one without an effect."""
    by_structure = _log_likelihoods(failures, allowed)
    bets = np.multiply.outer(np.multiply.outer(*map(np.array, BETS[:2])), np.array(BETS[2]))
    effect = np.log([bet for _, bet in RISKS])
    bet = by_structure[..., 1:] + np.log(bets)[..., None] + effect
    return float(logsumexp(bet) - by_structure[..., 0].max())


def _log_likelihoods(failures: FailureCounts, allowed: float) -> Floats:
    """By share of bad periods, drift, how devices differ, and effect, the first of which is none.

    Args:
        failures: of both arms.
        allowed: log odds by which the candidate may be worse.

    Returns:
        Array [B, W, U, 1 + effects].
    """
    effects = [allowed, *(allowed + effect for effect, _ in RISKS)]
    fleet = _Fleet(failures, effects)
    levels = usual()[:, :, _levels(failures)]
    shape = (len(BAD_PERIODS), len(DRIFTS), len(levels), len(effects))
    log_likelihoods = np.empty(shape)
    for (b, bad), w in product(enumerate(BAD_PERIODS), range(len(DRIFTS))):
        # Without a past nothing drifts, and one drift is as good as another.
        if w and not fleet.drifts:
            log_likelihoods[b, w] = log_likelihoods[b, 0]
            continue
        each = [chance + found for chance, found in fleet.by_change(bad, changes()[w], levels)]
        log_likelihoods[b, w] = logsumexp(np.array(each), axis=(0, 2))
    return log_likelihoods


class _Fleet:
    """Likelihoods of one look's counts.

    A device's *first part* is its past, and what it did on the control before or beside the
    candidate; from there to its *last part* it may have changed. Devices with the same counts have
    the same likelihood: one of them stands for all, ``times`` over.
    """

    def __init__(self, failures: FailureCounts, effects: list[float]) -> None:
        self._effects = effects
        candidate, control = (failures.cells(candidate=arm) for arm in (True, False))
        past = failures.past if failures.past.shape[1] else np.zeros((2, failures.devices))
        self._shifts = _common_changes(failures) if past.any() else np.zeros(1)
        # Everything below is by device, and follows from its cells and its past.
        kinds = candidate.kinds_by_device(), control.kinds_by_device(), past.T
        chosen, self._times = equal_rows(np.hstack(kinds))
        mine, theirs = (
            (failures.of_arm(failures.requests, candidate=arm) > 0)[chosen] for arm in (True, False)
        )
        self._mine, self._both = mine, mine & theirs
        self._candidate, self._control = candidate.only(chosen), control.only(chosen)
        self._past = past[:, chosen] * tempering(past[0, chosen])
        self._first = self._both | (past[1, chosen] > 0)
        self.drifts = bool(self._first.any())
        failed = np.bincount(failures.device, failures.failed).astype(np.float64)[chosen]
        self._tempers = tempering(failed)[:, None]

    def by_change(
        self, bad: float, change: Floats, levels: Floats
    ) -> Iterator[tuple[float, Floats]]:
        """Log-likelihoods [U, M, effects] at each common change since the past, and its chance.

        Args:
            bad: share of bad periods.
            change: chance of new log odds by those before, [G, G].
            levels: chance of a device's log odds by the fleet's, [U, G, M].
        """
        control = self._tempers * self._control.log_likelihood(0.0, bad)
        lasts = [control]
        for effect in self._effects:
            tried = self._tempers * self._candidate.log_likelihood(effect, bad)
            lasts.append(tried[self._mine])
        lasts[0] = control[~self._mine]
        parts = [self._first[~self._mine], *[self._first[self._mine]] * len(self._effects)]
        lasts = [_before(last, part, change) for last, part in zip(lasts, parts, strict=True)]
        before = np.where(self._both[:, None], control, 0.0)
        for shift in self._shifts:
            first = before + binomial(self._past[0, :, None], self._past[1, :, None], GRID - shift)
            theirs = _summed(first[~self._mine] + lasts[0], levels, self._times[~self._mine])
            tried, times = first[self._mine], self._times[self._mine]
            mine = [_summed(tried + last, levels, times) for last in lasts[1:]]
            chance = -0.5 * (shift / COMMON_CHANGES[0]) ** 2
            yield chance, theirs[:, :, None] + np.stack(mine, axis=-1)


def _before(last: Floats, part: Floats, change: Floats) -> Floats:
    """Log-likelihood of the last part by log odds before the change, where there is a before."""
    changed = last.copy()
    if part.any():
        changed[part] = averaged(last[part], change.T)
    return changed


def _summed(log_likelihood: Floats, levels: Floats, times: Floats) -> Floats:
    """Log-likelihood of all devices together, each as often as ``times`` says, [U, M]."""
    ways, grid, middles = levels.shape
    # All ways at once: the exponentials, which take most of the time, are the same for each.
    chances = levels.transpose(1, 0, 2).reshape(grid, ways * middles)
    return np.asarray(times @ averaged(log_likelihood, chances)).reshape(ways, middles)


def _levels(failures: FailureCounts) -> Floats:
    """Grid points of the fleet's level over which is averaged."""
    rate = (failures.failed.sum() + 0.5) / (failures.requests.sum() + 1)
    away = GRID - np.clip(_log_odds(rate), GRID[0], GRID[-1])
    return np.asarray((away >= LEVELS[0] - STEP) & (away <= LEVELS[1] + STEP))


def _common_changes(failures: FailureCounts) -> Floats:
    """Changes of all devices' log odds since their past, around what the control shows."""
    # The same devices then and now: of a few, one dirty one would look like a change of all.
    there = (failures.past[1] > 0) & (failures.of_arm(failures.requests, candidate=False) > 0)
    now = [
        float(failures.of_arm(values, candidate=False)[there].sum())
        for values in (failures.failed, failures.requests)
    ]
    before = failures.past[:, there].sum(axis=1)
    change = _log_odds((now[0] + 2) / (now[1] + 4)) - _log_odds((before[0] + 2) / (before[1] + 4))
    middle = round(float(np.clip(change if now[1] else 0.0, -1.5, 1.5)) / STEP) * STEP
    reach = COMMON_CHANGES[1]
    return middle + np.arange(-reach, reach + STEP / 2, STEP)


def _log_odds(rate: float) -> float:
    return math.log(rate / (1 - rate))


def log_share_evidence(failed: int, tried: int, allowed: float) -> float:
    """Log e-value against "a device fails with chance ``allowed`` at most", at any look.

    A ratio of likelihoods by that of the allowed chance: devices try one after the other, and the
    ratio is a supermartingale in their number. What fails on a device mostly fails on all, so the
    larger chance is 1 with a prior weight of :data:`ON_ALL`, else uniform above the allowed one.

    Args:
        failed: devices.
        tried: devices, those that failed included.
        allowed: chance of failure, 0 to below 1.
    """
    # With nothing allowed a single failure would be proof; a chance this small is nothing.
    least = max(allowed, 1e-6)
    a, b = failed + 1, tried - failed + 1
    above = max(float(1 - betainc(a, b, least)), 1e-300)
    risen = float(betaln(a, b)) + np.log(above) - np.log1p(-least) + np.log1p(-ON_ALL)
    if failed == tried:
        risen = np.logaddexp(risen, np.log(ON_ALL))
    return float(risen - failed * np.log(least) - (tried - failed) * np.log1p(-least))


AT_ONCE: Final = 1_000
"""Devices that are computed together: a few megabytes."""


def log_device_evidence(
    failures: int, requests: int, control: tuple[int, int], *, differ: float = SPREAD
) -> float:
    """Log e-value against "this device fails no more often than the control", for one device.

    The ratio of likelihoods of :func:`judge_failures`, with log odds that differ by chance from the
    control's with a known variance; both are averaged over the control's level.

    Args:
        failures: of the device, with the candidate.
        requests: of the same.
        control: failures and requests without the candidate.
        differ: variance of the log odds between this device and the control's; 0 where the device
            is its own control.
    """
    one = np.array([failures]), np.array([requests])
    return float(log_evidence_by_device(*one, control, differ=differ)[0])


def log_evidence_by_device(
    failures: NDArray[np.int64],
    requests: NDArray[np.int64],
    control: tuple[int, int],
    *,
    differ: float = SPREAD,
) -> Floats:
    """Return :func:`log_device_evidence` of many devices, [D].

    Args:
        failures: of each device, with the candidate, [D].
        requests: of the same, [D].
        control: failures and requests without the candidate.
        differ: variance of the log odds between a device and the control.
    """
    if not control[1]:
        return np.zeros(len(failures))
    levels = binomial(np.array(control[0]), np.array(control[1]), GRID)
    level = levels * tempering(np.array([control[0]], dtype=np.float64))
    # One device is its own control up to the smallest drift.
    chances = spread_by(max(differ**0.5, DRIFTS[0]))
    # Most devices have the same few counts: each is computed once.
    kinds, kind = np.unique(np.stack([failures, requests], axis=1), axis=0, return_inverse=True)
    parts = [
        _evidence(kinds[first : first + AT_ONCE], level, chances)
        for first in range(0, len(kinds), AT_ONCE)
    ]
    found = np.concatenate([np.zeros(0), *parts])[kind.reshape(-1)]
    return np.asarray(np.where(requests > 0, found, 0.0))


def _evidence(counts: NDArray[np.int64], level: Floats, chances: Floats) -> Floats:
    """Log e-values of failures and requests, [D, 2], at the control's level and its spread."""
    effects = np.array([0.0, *(effect for effect, _ in RISKS)])[:, None]
    failed, requests = counts.T[:, :, None, None]
    device = binomial(failed, requests, within_grid(GRID + effects))
    spread = averaged(device.reshape(-1, len(GRID)), chances).reshape(device.shape)
    found = logsumexp(level + spread, axis=2)
    bets = np.log([bet for _, bet in RISKS])
    return np.asarray(logsumexp(found[:, 1:] + bets, axis=1) - found[:, 0])
