"""From sums by device to outcomes of every measure. Pure."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

from cloud_hub.statistics.ratios import DeviceWindowSums, as_sample

if TYPE_CHECKING:
    from cloud_hub.experiments.verdict.evidence import Row
    from edge_sdk.contract.messages import WindowReport
    from edge_sdk.contract.plan import Measure

ENERGY: Final = (
    "energy_windows", "energy_n", "energy_sum", "energy_n_squares", "energy_cross",
    "energy_squares",
)  # fmt: skip
"""Sums over windows: how many, their predictions and joules, and the second moments of the two."""


@dataclass(frozen=True)
class ExposureSums:
    """Sums of what one device reported of one arm; each is a column of ``exposures``.

    ``labelled`` and ``correct`` are of the model's own answers, those that begin with ``served`` of
    what was served. Latency is in log2 of microseconds; energy as in :data:`ENERGY`, in joules.
    ``error_sum`` adds up by how much ``measured`` numbers of a regressor were off,
    ``error_squares`` and ``error_fourths`` the second and fourth powers.
    """

    predictions: int = 0
    errors: int = 0
    units: int = 0
    labelled: int = 0
    correct: int = 0
    served_labelled: int = 0
    served_correct: int = 0
    measured: int = 0
    error_sum: float = 0.0
    error_squares: float = 0.0
    error_fourths: float = 0.0
    rewards: int = 0
    reward_sum: float = 0.0
    reward_squares: float = 0.0
    latency_n: int = 0
    latency_sum: float = 0.0
    latency_squares: float = 0.0
    energy_windows: int = 0
    energy_n: float = 0.0
    energy_sum: float = 0.0
    energy_n_squares: float = 0.0
    energy_cross: float = 0.0
    energy_squares: float = 0.0

    def __add__(self, other: ExposureSums) -> ExposureSums:
        return ExposureSums(*map(operator.add, self.columns(), other.columns()))

    def columns(self) -> tuple[float, ...]:
        """Return the values in the order of :data:`SUMS`."""
        return _VALUES(self)

    @property
    def requests(self) -> int:
        """Requests to the arm, those that failed included."""
        return self.predictions + self.errors

    @property
    def wrong(self) -> int:
        """Labelled predictions that were wrong."""
        return self.labelled - self.correct


SUMS: Final = tuple(each.name for each in fields(ExposureSums))
"""Columns that add up."""

# Not astuple, which copies every value: this runs for each message of an experiment.
_VALUES: Final[Callable[[ExposureSums], tuple[float, ...]]] = operator.attrgetter(*SUMS)


def energy_of(report: WindowReport) -> ExposureSums:
    """Return the energy of one report; all 0 without a meter."""
    drawn = report.energy
    if drawn is None:
        return ExposureSums()
    n, joules = float(drawn.predictions), drawn.joules
    return ExposureSums(
        energy_windows=1,
        energy_n=n,
        energy_sum=joules,
        energy_n_squares=n * n,
        energy_cross=n * joules,
        energy_squares=joules * joules,
    )


def outcomes_of(sums: Mapping[str, ExposureSums]) -> dict[Measure, dict[str, Row]]:
    """Return the outcomes of one arm, by measure and device, of its sums by device.

    A device without an outcome of a measure is left out of that measure.
    """
    # Most fleets have outcomes of few measures: rows of the others are not even made.
    each = sums.items()
    return {
        # Of 0 and 1 the squares are the values themselves.
        "accuracy": {d: (s.labelled, s.correct, s.correct) for d, s in each if s.labelled},
        "served_accuracy": {
            d: (s.served_labelled, s.served_correct, s.served_correct)
            for d, s in each
            if s.served_labelled
        },
        "reward": {d: (s.rewards, s.reward_sum, s.reward_squares) for d, s in each if s.rewards},
        "latency": {
            d: (s.latency_n, s.latency_sum, s.latency_squares) for d, s in each if s.latency_n
        },
        "errors": {d: (s.requests, s.errors, s.errors) for d, s in each if s.requests},
        "energy": {d: row for d, row in _energy(sums).items() if row[0]},
        "mae": {d: (s.measured, s.error_sum, s.error_squares) for d, s in each if s.measured},
        "rmse": _root_mean_square({d: s for d, s in each if s.measured}),
    }


def _root_mean_square(sums: Mapping[str, ExposureSums]) -> dict[str, Row]:
    """Errors as outcomes whose mean is the root of the arm's mean squared error.

    With ``R`` that root, an error counts as ``R / 2 + e^2 / (2 R)``, the tangent of the root at
    ``R^2`` (the delta method): the mean over the arm is ``R`` itself, in the unit of what is
    predicted, and the variance that of ``e^2`` over ``4 R^2``. As with every mean of squares a few
    large errors say most of it; see ``largest_error``.

    Source: G. Casella, R. Berger, Statistical Inference, 2nd edition, 2002, section 5.5.4.
    """
    measured = sum(s.measured for s in sums.values())
    root = math.sqrt(sum(s.error_squares for s in sums.values()) / measured) if measured else 0.0
    if root == 0:  # nothing was off, so nothing has a tangent
        return {d: (s.measured, 0.0, 0.0) for d, s in sums.items()}
    return {
        d: (
            s.measured,
            (s.measured * root + s.error_squares / root) / 2,
            (s.measured * root**2 + 2 * s.error_squares + s.error_fourths / root**2) / 4,
        )
        for d, s in sums.items()
    }


def _energy(sums: Mapping[str, ExposureSums]) -> dict[str, Row]:
    """Joules for each prediction, as a ratio of totals; a window counts as one outcome."""
    metered = sorted(d for d, row in sums.items() if row.energy_windows)
    windows = {d: tuple(getattr(sums[d], name) for name in ENERGY) for d in metered}
    sample = as_sample(DeviceWindowSums.by_device(windows))
    columns = (sample.n, sample.total, sample.squares)
    return dict(zip(metered, zip(*(c.tolist() for c in columns), strict=True), strict=True))
