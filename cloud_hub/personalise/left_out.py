"""What a prior would have done for units that it was not fitted to, by simulation.

Each unit is taught its own labels, and judged on each before it is learnt. Beside it a stand-in is
taught as many labels of the same classes from rows of other units, and judged on the unit's rows:
if the unit's own labels are worth no more than strangers', units do not differ, however much the
pool of two models gains on the release.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from cloud_hub.personalise.rows import NumberRows, Numbers, UnitRows, Whole
from edge_sdk.contract.personal.prior import ClassPrior, NumberPrior, PersonalPrior
from edge_sdk.contract.personal.settings import PersonalSettings
from edge_sdk.personalise.outcome import Outcome
from edge_sdk.personalise.personal_model import PersonalModel

FOLDS: Final = 10
LABELS: Final = 50
"""Of a simulated session."""

FEWEST_LABELS: Final = 5
"""Units with fewer say nothing, and are not simulated."""

SESSIONS: Final = 150
"""Units that are simulated, at most."""

Row = tuple[Any, ...]
"""What a model learns or is judged on, but for the time."""


@dataclass(frozen=True, eq=False)
class Gains:
    """Of units that were left out, by candidate: [candidates, units].

    Attributes:
        over_release: share of labels right by the unit's own answer, less the release's.
        over_strangers: the same less the stand-in's.
        loss: mean log loss of the release, less the unit's own.
    """

    over_release: Numbers
    over_strangers: Numbers
    loss: Numbers


def simulate_classes(
    rows: UnitRows,
    fit: Callable[[UnitRows], ClassPrior],
    candidates: Sequence[PersonalSettings],
    rng: np.random.Generator,
) -> Gains:
    """Simulate a session of each unit of a classifier with a prior that was fitted to others.

    Args:
        rows: with units.
        fit: makes a prior.
        candidates: settings to try.
        rng: order of labels, and the units that are simulated.
    """
    assert rows.units is not None
    found = []
    # What cohorts add is not counted: a device has the attribute or not, the gain holds for both.
    for inside, chosen in _left_out(rows.units, rng):
        prior = fit(replace(rows.of(inside), cohorts=()))
        models = [_class_model(prior, settings) for settings in candidates]
        strangers = _by_class(rows, np.flatnonzero(inside))
        for own in chosen:
            others = [rng.choice(strangers[label]) for label in rows.labels[own].tolist()]
            pair = _class_rows(rows, own), _class_rows(rows, np.array(others))
            found.append([session(model, *pair) for model in models])
    return _gains(found)


def simulate_numbers(
    rows: NumberRows,
    fit: Callable[[NumberRows], NumberPrior],
    candidates: Sequence[PersonalSettings],
    rng: np.random.Generator,
) -> Gains:
    """Simulate a session of each unit of a regressor; arguments as for classes.

    Gains are in losses there: half the squared errors over the noise's variance, clipped.
    """
    assert rows.units is not None
    found = []
    for inside, chosen in _left_out(rows.units, rng):
        prior = fit(replace(rows.of(inside), cohorts=()))
        models = [_number_model(prior, settings) for settings in candidates]
        for own in chosen:
            others = rng.choice(np.flatnonzero(inside), len(own))
            pair = _number_rows(rows, own), _number_rows(rows, others)
            found.append([session(model, *pair) for model in models])
    return _gains(found)


def session(
    model: PersonalModel, own: Sequence[Row], strangers: Sequence[Row]
) -> tuple[float, float, float]:
    """Return one unit's gains over the release and over strangers' labels, and in loss.

    Args:
        model: of a prior.
        own: rows of the unit.
        strangers: as many of others.
    """
    numbers = model.prior.number is not None
    learn: Callable[..., Outcome] = model.learn_number if numbers else model.learn
    judge: Callable[..., Outcome] = model.judge_number if numbers else model.judge
    state, stand_in = model.new(), model.new()
    release = other = loss = 0.0
    for row, stranger in zip(own, strangers, strict=True):
        outcome = learn(state, *row, 0.0)
        beside = judge(stand_in, *row)
        learn(stand_in, *stranger, 0.0)
        loss += outcome.model_loss - outcome.personal_loss
        if numbers:
            release += outcome.comparison
            other += outcome.comparison - beside.comparison
        else:
            release += outcome.personal_right - outcome.own_right
            other += outcome.personal_right - beside.personal_right
    count = max(len(own), 1)
    return release / count, other / count, loss / count


def _left_out(units: Whole, rng: np.random.Generator) -> Iterator[tuple[Any, list[Whole]]]:
    """Yield which rows a prior is fitted to, and the rows of each unit that is left out."""
    folds = min(FOLDS, int(units.max()) + 1)
    for fold in np.array_split(rng.permutation(int(units.max()) + 1), folds):
        rows = [rng.permutation(np.flatnonzero(units == unit))[:LABELS] for unit in fold]
        chosen = [own for own in rows if len(own) >= FEWEST_LABELS]
        yield ~np.isin(units, fold), chosen[: max(1, SESSIONS // folds)]


def _gains(found: list[list[tuple[float, float, float]]]) -> Gains:
    table = np.array(found) if found else np.zeros((0, 1, 3))
    return Gains(*(table[:, :, i].T for i in range(3)))


def _by_class(rows: UnitRows, inside: Whole) -> list[Whole]:
    """Return rows of each class, or of all where the others have none of it."""
    labels = rows.labels[inside]
    by_class = [inside[labels == label] for label in range(rows.classes)]
    return [found if len(found) else inside for found in by_class]


def _class_rows(rows: UnitRows, chosen: Whole) -> list[Row]:
    phi, scores = rows.phi[chosen].astype(np.float32), rows.scores[chosen].tolist()
    return list(zip(phi, scores, rows.labels[chosen].tolist(), strict=True))


def _number_rows(rows: NumberRows, chosen: Whole) -> list[Row]:
    return list(zip(rows.values[chosen].tolist(), rows.truths[chosen].tolist(), strict=True))


def _class_model(prior: ClassPrior, settings: PersonalSettings) -> PersonalModel:
    labels = tuple(range(prior.means.shape[0]))
    made = PersonalPrior(
        *("simulated", "1.0", "0" * 64, 1, "features", True),
        settings=settings, labels=labels, classes=prior,
    )  # fmt: skip
    return PersonalModel(made, {})


def _number_model(prior: NumberPrior, settings: PersonalSettings) -> PersonalModel:
    made = PersonalPrior(
        *("simulated", "1.0", "0" * 64, 1, "outputs", True), settings=settings, number=prior
    )
    return PersonalModel(made, {})
