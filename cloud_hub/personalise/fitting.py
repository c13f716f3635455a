"""Fits a personal prior to rows of many units: the space, the settings, and whether it helps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from cloud_hub.personalise.left_out import simulate_classes, simulate_numbers
from cloud_hub.personalise.number_fit import fit_number_prior
from cloud_hub.personalise.rows import number_rows, unit_rows
from cloud_hub.personalise.space_fit import fit_space
from cloud_hub.personalise.verdict import Verdict, chosen, judge, unknown
from edge_sdk.contract.personal.prior import ClassPrior, NumberPrior
from edge_sdk.contract.personal.settings import PersonalSettings

SETTINGS: Final = PersonalSettings()

POOLS: Final = ((1.0, 0.25), (1.0, 0.5), (0.5, 0.25), (0.5, 0.5), (0.4, 0.8))
"""Powers of the release and pulls of the unit that are tried. Leaning on the unit alone gains more
on average, and harms more of the units whom the release knows well already."""


@dataclass(frozen=True)
class FittedPrior:
    """Parts of a :class:`PersonalPrior`."""

    classes: ClassPrior | None
    number: NumberPrior | None
    settings: PersonalSettings
    verdict: Verdict


def fit_classes(
    phi: ArrayLike,
    labels: ArrayLike,
    scores: ArrayLike,
    *,
    units: Sequence[object] | None = None,
    cohorts: Sequence[str] | None = None,
    settings: PersonalSettings = SETTINGS,
    before: ClassPrior | None = None,
    seed: int = 0,
) -> FittedPrior:
    """Fit the prior of a classifier's units.

    Args:
        phi: [N, d] basis vectors.
        labels: [N] numbers of classes; rows of none are left out.
        scores: [N, C] the release's probabilities. They must be as they are for people whom the
            model has not seen: of units that it was not trained on, or by models that were trained
            without them (cross-fitting). On rows of its training the model is hardly ever wrong, so
            that nothing seems to be left to gain.
        units: [N] whose row each is; ``None`` if nobody knows: the prior then has class means and
            variances that are guessed, and its verdict is that nothing is known.
        cohorts: [N] cohort of each row's unit.
        settings: what the policy says, and where the search begins.
        before: prior whose projection, origin and means are kept, so that units keep what they
            learnt; of the same basis and classes.
        seed: of the simulation.

    Raises:
        Invalid: shapes disagree, or no row can be used.
    """
    rng = np.random.default_rng(seed)
    rows = unit_rows(phi, labels, scores, units, cohorts, rng)
    prior = fit_space(rows, before).prior()
    if rows.units is None or rows.units.max() < 1:
        return FittedPrior(prior, None, settings, unknown(0 if rows.units is None else 1))
    tried = [replace(settings, power=power, pull=pull) for power, pull in POOLS]
    # The space is fitted anew without the units that are simulated, also where one is kept.
    gains = simulate_classes(rows, lambda others: fit_space(others).prior(), tried, rng)
    return FittedPrior(prior, None, tried[chosen(gains)], judge(gains))


def fit_numbers(
    values: ArrayLike,
    truths: ArrayLike,
    *,
    units: Sequence[object] | None = None,
    cohorts: Sequence[str] | None = None,
    settings: PersonalSettings = SETTINGS,
    before: NumberPrior | None = None,
    seed: int = 0,
) -> FittedPrior:
    """Fit the prior of a regressor's units.

    Args:
        values: [N] answers of the release, of rows that it was not trained on.
        truths: [N] what they should have been.
        units: [N] whose row each is; ``None`` if nobody knows.
        cohorts: [N] cohort of each row's unit.
        settings: what the policy says.
        before: prior whose centre and scale are kept, so that units keep what they learnt.
        seed: of the simulation.

    Raises:
        Invalid: shapes disagree, or no row can be used.
    """
    rng = np.random.default_rng(seed)
    rows = number_rows(values, truths, units, cohorts, rng)
    prior = fit_number_prior(rows, before)
    if rows.units is None or rows.units.max() < 1:
        return FittedPrior(None, prior, settings, unknown(0 if rows.units is None else 1))
    gains = simulate_numbers(rows, fit_number_prior, [settings], rng)
    return FittedPrior(None, prior, settings, judge(gains))
