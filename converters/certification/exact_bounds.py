"""Exact one-sided bounds of shares, and the rows that it takes to show one. Pure.

A share that was seen says little by itself: none of 150 rows is compatible with 2% of all. The
bounds of Clopper and Pearson hold at the stated confidence for every number of rows, since they
invert the binomial test itself. They assume that rows are drawn independently from those that
devices will see: for copies of a row, and for other rows than these, they promise nothing.

Source: C. Clopper, E. Pearson, "The use of confidence or fiducial limits illustrated in the case of
the binomial", Biometrika 26(4), 1934.
"""

from __future__ import annotations

import math
from typing import Final

CONFIDENCE: Final = 0.95
"""Of everything that one certificate says, together."""

MOST_ROWS: Final = 10**9
"""More rows than anybody has; a search for needed rows ends here."""


def upper_bound(errors: int, rows: int, alpha: float) -> float:
    """Return the Clopper-Pearson upper confidence limit of a share.

    The quantile ``1 - alpha`` of Beta(errors + 1, rows - errors); 1 without rows.

    Args:
        errors: rows that count.
        rows: rows that were looked at.
        alpha: chance that the true share is above the limit.
    """
    # Here, not above: a certificate is shown where nothing but the device's packages is installed.
    from scipy.special import betaincinv

    if errors >= rows:
        return 1.0
    return float(betaincinv(errors + 1, rows - errors, 1 - alpha))


def lower_bound(errors: int, rows: int, alpha: float) -> float:
    """Return the Clopper-Pearson lower confidence limit of a share; arguments as above."""
    return 1.0 - upper_bound(rows - errors, rows, alpha) if errors else 0.0


def rows_needed(errors: int, rows: int, limit: float, alpha: float) -> int | None:
    """Return how many rows would show that a share is at most ``limit``, if it stayed as it is.

    Without any error so far that is ``log(alpha) / log(1 - limit)``, rounded up.

    Args:
        errors: rows that counted.
        rows: rows that were looked at.
        limit: share that is to be shown.
        alpha: chance to be wrong.

    Returns:
        The number, or ``None`` where no number of rows would: the share that was seen is not below
        ``limit``.
    """
    share = errors / rows if rows else 0.0
    if share >= limit:
        return None
    if errors == 0:
        return math.ceil(math.log(alpha) / math.log1p(-limit))
    few, many = rows, rows
    while upper_bound(math.ceil(share * many), many, alpha) > limit:
        few, many = many, many * 2
        if many > MOST_ROWS:
            return None
    while many - few > 1:
        middle = (few + many) // 2
        fits = upper_bound(math.ceil(share * middle), middle, alpha) <= limit
        few, many = (few, middle) if fits else (middle, many)
    return many
