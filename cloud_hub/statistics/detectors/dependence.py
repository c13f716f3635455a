"""How many independent rows the rows of a window are worth, where neighbours resemble each other.

Rows that come in runs, such as the readings of one sensor second by second, say less than as many
rows drawn anew. With a correlation of neighbours of .9 a window of 2,000 rows is worth about a
hundred, with .99 about ten. A histogram has no order, so a window alone cannot tell; windows can:
how much the shares of earlier windows differ from each other is what the next may differ by chance.
That is the method of batch means, with windows as batches.

Assumes a past of windows about as long as the one that is tested, longer than what rows have in
common, and as variable as the present. Fails where the dependence is longer than all the past that
is looked at, such as a season of which only days are kept; and while a distribution is already
moving in the past, its windows differ more, and the test is weaker.

Sources: R. Conway, "Some tactical problems in digital simulation", Management Science 10(1), 1963
(batch means); J. Rao, A. Scott, "On chi-squared tests for multiway contingency tables with cell
proportions estimated from survey data", Annals of Statistics 12(1), 1984 (effective sizes).
"""

from __future__ import annotations

from typing import Final

from cloud_hub.deferred.libraries import norm, student

WINDOWS: Final = 8
"""Earlier windows without which there is no verdict on a fleet too small to be told by devices."""


def unsure(freedom: float) -> float:
    """Factor on a variance that was estimated with few degrees of freedom.

    The square of Student's quantile over the normal one, at 99.5%: a test that takes the variance
    as known is then right in its tail.

    Args:
        freedom: degrees of freedom, above 0.
    """
    return float((student.ppf(0.995, freedom) / norm.ppf(0.995)) ** 2)
