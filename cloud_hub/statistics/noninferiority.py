"""Non-inferiority of a candidate on the rows that both releases answered. Pure.

Two questions about one tolerance: is the candidate *surely* worse by less than it, and is it surely
worse by more? Between them lies what the rows cannot tell.

Answers that are right or wrong: of ``rows`` rows the candidate loses ``lost`` (only the incumbent
is right) and wins ``won``; its loss is the expected share ``(lost - won) / rows``. Rows that differ
in either direction carry all that is known. The score statistic of Tango orders the tables, and its
tail is computed from the multinomial distribution itself, at the worst discordance that the table
does not exclude: the level holds for every number of rows. Assumes rows that are drawn
independently; copies of a row count as more evidence than they are.

Values: the mean of ``candidate - (1 + limit) * incumbent`` of absolute errors, by Student's t. It
is asymptotic: with errors of very heavy tails and few rows its level is only approximately that.

Sources:
    T. Tango, "Equivalence test and confidence interval for the difference in proportions for the
    paired-sample design", Statistics in Medicine 17(8), 1998 (the statistic).
    R. Berger, D. Boos, "P values maximized over a confidence set for the nuisance parameter",
    Journal of the American Statistical Association 89, 1994 (the tail).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from cloud_hub.deferred.libraries import bdtr, betaincinv, gammaln, ndtri, stdtr, xlogy
from cloud_hub.statistics.samples import Floats

SPENT: Final = 0.1
"""Share of the level that is spent on excluding discordances."""

GRID: Final = 15
"""Discordances at which the tail is computed; it is smooth between them."""

POWER: Final = 0.8
"""Chance with which the rows that are said to be needed show what is true."""


@dataclass(frozen=True)
class PairedAnswers:
    """Rows that both answered: ``lost`` by the candidate, ``won`` by it, the others alike."""

    rows: int
    lost: int
    won: int

    @property
    def loss(self) -> float:
        """Share of right answers that the candidate loses, as it was seen."""
        return (self.lost - self.won) / self.rows if self.rows else 0.0

    @property
    def discordance(self) -> float:
        """Share of rows on which one is right and the other wrong."""
        return (self.lost + self.won) / self.rows if self.rows else 0.0


def surely_within(pairs: PairedAnswers, limit: float, level: float) -> bool:
    """Return whether the loss is surely below ``limit``.

    Args:
        pairs: what both answered.
        limit: loss that is just too much, at least 0.
        level: chance to say so of a candidate whose loss is ``limit`` or more.
    """
    return _tail(pairs, limit, level, below=True) <= level


def surely_beyond(pairs: PairedAnswers, limit: float, level: float) -> bool:
    """Return whether the loss is surely above ``limit``.

    Args:
        pairs: what both answered.
        limit: loss that is just allowed, at least 0.
        level: chance to say so of a candidate whose loss is ``limit`` or less.
    """
    return _tail(pairs, limit, level, below=False) <= level


def p_within(pairs: PairedAnswers, limit: float) -> float:
    """P-value against "the loss is ``limit`` or more", for people; see :func:`surely_within`."""
    return _tail(pairs, limit, 1e-3, below=True)


def _tail(pairs: PairedAnswers, limit: float, level: float, *, below: bool) -> float:
    """Chance of a statistic as extreme, at the worst discordance that is not excluded."""
    if pairs.rows == 0:
        return 1.0
    spent = SPENT * level
    seen = float(_statistic(np.array([pairs.lost]), np.array([pairs.won]), pairs.rows, limit)[0])
    chances = _chances(pairs, limit, spent)
    ranges = [_likely(pairs.rows, win) for win in chances]
    # What a chance does not change is computed once: ranges of neighbours overlap.
    won = np.unique(np.concatenate(ranges))
    last = _last_below(seen, won, pairs.rows, limit, inclusive=below)
    worst = 0.0
    for win, wanted in zip(chances, ranges, strict=True):
        begin = int(np.searchsorted(won, wanted[0]))
        lost = last[begin : begin + len(wanted)]
        worst = max(worst, _beyond(wanted, lost, pairs.rows, win + limit, win, below=below))
    return min(1.0, worst + spent)


def _chances(pairs: PairedAnswers, limit: float, spent: float) -> list[float]:
    """Chances to win a row that a Clopper-Pearson interval of the discordance does not exclude."""
    n, different = pairs.rows, pairs.lost + pairs.won
    low = float(betaincinv(different, n - different + 1, spent / 2)) if different else 0.0
    high = float(betaincinv(different + 1, n - different, 1 - spent / 2)) if different < n else 1.0
    # Where the loss is the limit, at least that share of the rows differs.
    least, most = max(low, limit), max(high, limit + 1e-9)
    shares = np.linspace(math.sqrt(least), math.sqrt(min(most, 1.0)), GRID) ** 2
    return [max(0.0, (float(share) - limit) / 2) for share in shares]


def _statistic(lost: Floats, won: Floats, n: int, limit: float) -> Floats:
    """Tango's score: loss less limit, in standard errors as they are if the limit is the truth."""
    b, c = lost.astype(np.float64), won.astype(np.float64)
    slope = (b + c) * (1 - limit) + 2 * limit * (b - n)
    chance = (slope + np.sqrt(slope**2 + 8 * n * c * limit * (1 - limit))) / (4 * n)
    variance = n * (2 * chance + limit - limit**2)
    distance = b - c - n * limit
    with np.errstate(invalid="ignore", divide="ignore"):
        score = distance / np.sqrt(np.maximum(variance, 0.0))
    return cast(Floats, np.where(variance > 0, score, 0.0))


def _likely(n: int, win: float) -> NDArray[np.int64]:
    """Return the numbers of rows that may be won: all but 1e-20 lie within ten deviations."""
    middle, spread = n * win, math.sqrt(n * win * (1 - win))
    first = max(0, math.floor(middle - 10 * spread - 10))
    return np.arange(first, min(n, math.ceil(middle + 10 * spread + 30)) + 1)


def _beyond(
    won: NDArray[np.int64], last: Floats, n: int, lose: float, win: float, *, below: bool
) -> float:
    """Chance of a statistic at most (``below``) or at least the one seen, by chances of the rows.

    ``last`` is the most rows that may be lost with each number that is won; :func:`_last_below`.
    """
    weight = np.exp(
        gammaln(n + 1) - gammaln(won + 1) - gammaln(n - won + 1)
        + xlogy(won, win) + xlogy(n - won, 1 - win)
    )  # fmt: skip
    rest = lose / (1 - win) if win < 1 else 0.0
    chance = np.where(last >= 0, bdtr(np.maximum(last, 0), n - won, min(1.0, rest)), 0.0)
    return float((weight * (chance if below else 1 - chance)).sum())


def _last_below(
    seen: float, won: NDArray[np.int64], n: int, limit: float, *, inclusive: bool
) -> Floats:
    """Return the most rows that may be lost with a statistic below ``seen``, -1 if none.

    It rises with the rows that are lost, whatever number is won. ``inclusive``: or equal to it.
    """
    low, high = np.full(len(won), -1.0), (n - won + 1).astype(np.float64)
    close = 1e-9 if inclusive else -1e-9  # equal but for rounding is equal
    while (high - low > 1).any():
        middle = np.floor((low + high) / 2)
        under = _statistic(middle, won.astype(np.float64), n, limit) < seen + close
        low, high = np.where(under, middle, low), np.where(under, high, middle)
    return low


def rows_needed(discordance: float, limit: float, level: float, *, gain: float = 0.0) -> int | None:
    """Return how many rows would show that a candidate is within ``limit``, with 80% chance.

    The normal approximation, of a candidate that is as good as the incumbent, or better by
    ``gain``.

    Args:
        discordance: share of rows on which one is right and the other wrong.
        limit: loss that is just too much.
        level: of the test.
        gain: by how much the candidate is better.

    Returns:
        The number; ``None`` where no number would do: nothing shows that equals differ.
    """
    distance = limit + max(0.0, gain)
    if distance <= 0:
        return None
    quantiles = float(-ndtri(level) + ndtri(POWER))
    spread = max(discordance - gain**2, 0.0)
    # Rows without any difference: enough that losing ``limit`` of them would have been seen.
    silent = math.log(level) / math.log1p(-min(distance, 0.999))
    return math.ceil(max(quantiles**2 * spread / distance**2, silent))


def mean_within(differences: Floats, level: float) -> tuple[bool, bool, float]:
    """Judge whether the mean of paired differences is surely below 0, or surely above, by t.

    Args:
        differences: by row, [N].
        level: of each of the two tests.

    Returns:
        Surely below, surely above, and the one-sided p-value of "below".
    """
    n = len(differences)
    if n < 2 or not np.isfinite(differences).all():
        return False, False, 1.0
    mean, spread = float(differences.mean()), float(differences.std(ddof=1))
    if spread <= 1e-12 * max(1.0, abs(mean)):
        # All rows alike: nothing varies, the sign is all there is.
        return mean < -1e-12, mean > 1e-12, 0.0 if mean < -1e-12 else 1.0
    t = mean / (spread / math.sqrt(n))
    below = float(stdtr(n - 1, t))
    return below <= level, 1 - below <= level, below


def mean_rows_needed(differences: Floats, allowed: float, level: float) -> int | None:
    """Return how many rows would show it of a candidate that is as good, with 80% chance.

    Args:
        differences: by row, [N], with what is allowed already taken off.
        allowed: by how much their mean is below 0 for a candidate that is as good.
        level: of the test.
    """
    if allowed <= 0 or len(differences) < 2 or not np.isfinite(differences).all():
        return None
    quantiles = float(-ndtri(level) + ndtri(POWER))
    return max(2, math.ceil((quantiles * float(differences.std(ddof=1)) / allowed) ** 2))
