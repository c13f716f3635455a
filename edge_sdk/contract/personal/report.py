"""What one device says of its units for one prior: sums over units, once a generation.

Every unit adds one vector of fixed length to the sums, cut so that no block of it is longer than
:data:`BLOCKS` says. Lengths and shares depend on nothing private, so noise can be fitted to them,
and the hub can bound what a device claims by the number of units that it claims.

Shifts are in the space of the prior, counted from what the device's cohort began with and divided
by :func:`scales`; so no dimension needs a bound of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from edge_sdk.contract.errors import require
from edge_sdk.contract.names import Version, check_digest, check_name
from edge_sdk.contract.serving_terms import MOST_EPSILON
from edge_sdk.contract.version import REPORT_FORMAT

UNIT_LABELS: Final = 20
"""Labels from which on a unit counts: with fewer it says little of how units differ."""

LABELS_COUNTED: Final = 100
"""Labels of one unit that count at most in ``labels``."""

LOSS: Final = 4.0
"""Mean log loss of a unit, in nats, that counts at most."""

DIRECTIONS: Final = 48
"""Dimensions in which units differ, at most."""

UNITS: Final = 1_000_000
"""Units of one report at most."""

NOISY_UNITS: Final = 1e9
"""Beside which noise of whatever small ε is little: numbers with noise are bounded by it."""

DELTA: Final = 1e-6
"""δ of the noise: by this chance a report may say more of a unit than ε allows."""

WITHIN: Final = 0.25
"""Variance, beside that between units, of the mean of one unit's labels in a class."""

ROUNDING: Final = 1e-6


class CutBlock(NamedTuple):
    """Numbers that are cut together.

    Attributes:
        fields: their names in the report; ``None`` for one of :data:`VECTORS`.
        length: Euclidean length of one unit's numbers at most; of vectors, times √dimensions.
        share: of the squared length of a whole unit; what has more of it gets less noise.
    """

    fields: tuple[str, ...]
    length: float
    share: float


BLOCKS: Final = (
    CutBlock(("units",), 1.0, 0.05),
    CutBlock(("crossed",), 1.0, 0.03),
    CutBlock(("labels",), float(LABELS_COUNTED), 0.01),
    CutBlock(("served",), 1.0, 0.01),
    CutBlock(("off",), 1.0, 0.01),
    CutBlock(("both", "model_only", "personal_only", "neither"), 1.0, 0.3),
    CutBlock(("gain_squares",), 1.0, 0.03),
    CutBlock(("better", "worse"), 1.0, 0.03),
    CutBlock(("model_loss", "personal_loss"), LOSS * math.sqrt(2), 0.05),
)
"""Of single numbers. Whether personalising helps has the largest share: all else rests on it."""

VECTORS: Final = (
    CutBlock(("shift",), 2.0, 0.24),
    CutBlock(("squares",), 4.0, 0.12),
    CutBlock(("cross",), 4.0, 0.12),
)
"""Of one number for each dimension. The shares of both add up to 1."""


@dataclass(frozen=True)
class PersonalReport:
    """Sums over the units of one device for one generation of one prior; sent once for it.

    ``basis`` is the digest of what the sums are in. ``cohort`` is that of the device, empty for
    none. ``units`` had at least :data:`UNIT_LABELS` labels, ``labels`` in all; ``crossed`` of them
    labels of several classes. Of the labelled predictions of a unit ``both`` is the share in which
    the release's own answer and the personalised one were right, ``model_only`` and
    ``personal_only`` in which one was, ``neither``; ``served`` that in which the personalised one
    was served. ``off`` are units whose guard has taken the personalised answers back, or has not
    given them yet. ``gain_squares`` adds up squares of what a unit gained: ``personal_only`` less
    ``model_only``. ``better`` and ``worse`` are units that gained, and lost. ``model_loss`` and
    ``personal_loss`` are means of a unit's log losses (nats; of a regressor half squared errors
    over the noise).

    ``shift`` is a unit's mean over its classes, ``squares`` the mean square less what chance makes
    of so few labels, ``cross`` the mean product of two different classes; by dimension. With them
    the method of moments finds the cohort's mean, and the variances between units.

    With ``epsilon`` (and ``delta``) noise was added to all numbers, which so may be below 0.
    ``start`` and ``at`` are when the sums began and when they were closed (Unix seconds).
    """

    model: str
    version: str
    generation: int
    basis: str
    start: int
    at: int
    units: float
    crossed: float
    labels: float
    served: float
    off: float
    both: float
    model_only: float
    personal_only: float
    neither: float
    gain_squares: float
    better: float
    worse: float
    model_loss: float
    personal_loss: float
    shift: tuple[float, ...]
    squares: tuple[float, ...]
    cross: tuple[float, ...]
    cohort: str = ""
    epsilon: float | None = None
    delta: float | None = None
    format: Literal[1] = REPORT_FORMAT

    def __post_init__(self) -> None:
        check_name("model", self.model)
        Version.parse(self.version)
        check_digest("basis", self.basis)
        require(self.generation >= 1, f"generation: expected at least 1, got {self.generation}")
        require(self.start <= self.at, f"at: expected {self.start} or later, got {self.at}")
        count = len(self.shift)
        fits = 1 <= count <= DIRECTIONS and len(self.squares) == len(self.cross) == count
        require(fits, f"shift, squares, cross: expected 1 to {DIRECTIONS} numbers each, as many")
        require(len(self.cohort) <= 256, "cohort: expected at most 256 characters")
        if self.epsilon is None:
            require(self.delta is None, "delta: expected an epsilon with it")
            self._check_sums()
        else:
            self._check_noise(self.epsilon)

    @property
    def gain(self) -> float:
        """Sum over units of the share of labels that personalising got right, less what it lost."""
        return self.personal_only - self.model_only

    def _check_noise(self, epsilon: float) -> None:
        fits = 0 < epsilon <= MOST_EPSILON
        require(fits, f"epsilon: expected above 0, up to {MOST_EPSILON:g}, got {epsilon:g}")
        require(self.delta == DELTA, f"delta: expected {DELTA:g}, got {self.delta}")
        for block in BLOCKS:
            self._check_block(block, NOISY_UNITS * block.length)
        for block in VECTORS:
            self._check_block(block, NOISY_UNITS * block.length * math.sqrt(len(self.shift)))

    def _check_sums(self) -> None:
        """Refuse what no units have: without noise each bounds what it can have added."""
        units = self.units
        whole = 1 <= units <= UNITS and units == int(units)
        require(whole, f"units: expected a whole number, 1 to {UNITS}, got {units:g}")
        counts = (self.crossed, self.off, self.better, self.worse, self.better + self.worse)
        fits = all(0 <= count <= units for count in counts)
        require(fits, "crossed, off, better, worse: expected 0 to as many as units")
        shares = (self.both, self.model_only, self.personal_only, self.neither)
        nonnegative = min(*shares, self.labels, self.served, self.gain_squares) >= 0
        require(nonnegative, "shares and labels: expected at least 0")
        least = UNIT_LABELS * units * (1 - ROUNDING)
        require(self.labels >= least, f"labels: expected {UNIT_LABELS} of each unit, or more")
        slack = 1 + ROUNDING
        require(sum(shares) <= units * slack, "shares: expected a sum of at most the units")
        require(self.served <= units * slack, "served: expected at most the units")
        possible = self.gain**2 <= units * self.gain_squares * slack + ROUNDING
        require(possible, "gain_squares: expected at least what the gain makes them")
        require(min(self.model_loss, self.personal_loss) >= 0, "losses: expected at least 0")
        for block in BLOCKS:
            self._check_block(block, units * block.length * slack)
        for block in VECTORS:
            self._check_block(block, units * block.length * math.sqrt(len(self.shift)) * slack)

    def _check_block(self, block: CutBlock, most: float) -> None:
        """Refuse a block that is longer than so many units make it."""
        values = [getattr(self, name) for name in block.fields]
        numbers = values[0] if isinstance(values[0], tuple) else values
        # Not hypot: of 1e300 and more it overflows, and a comparison is all that is needed.
        fits = (
            all(abs(x) <= most for x in numbers)
            and math.dist(numbers, [0.0] * len(numbers)) <= most
        )
        require(fits, f"{block.fields[0]}: expected a length of at most {most:.6g} of these units")


def scales(
    between: Sequence[float], shift: Sequence[float], within: float = 1.0
) -> tuple[float, ...]:
    """Return by how much the means of units differ, by dimension, as a prior has it.

    Args:
        between: variances between units of a class's mean, [r].
        shift: variances between units of the shift of all classes, [r].
        within: variance of one unit's rows.
    """
    noise = WITHIN * within
    return tuple(math.sqrt(b + s + noise) for b, s in zip(between, shift, strict=True))


def noise_of(block: CutBlock, multiplier: float, dimensions: int = 1) -> float:
    """Return the standard deviation of the noise on each number of a block.

    Args:
        block: of :data:`BLOCKS` or :data:`VECTORS`.
        multiplier: standard deviation for a vector whose length is 1 at most.
        dimensions: of a vector.
    """
    return multiplier * block.length * math.sqrt(dimensions) / math.sqrt(block.share)
