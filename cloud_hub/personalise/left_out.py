"""What a prior would have done for units that it was not fitted to, by simulation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from cloud_hub.personalise.rows import Numbers, UnitRows
from cloud_hub.personalise.space_fit import fit_space
from edge_sdk.contract.personal.prior import ClassPrior, PersonalPrior
from edge_sdk.contract.personal.settings import PersonalSettings
from edge_sdk.personalise.personal_model import PersonalModel

FOLDS: Final = 5
LABELS: Final = 50
"""Of a simulated session."""

SESSIONS: Final = 150
"""Units that are simulated, at most."""


@dataclass(frozen=True, eq=False)
class Gains:
    """Of units that were left out, by candidate: [candidates, units].

    Attributes:
        right: share of labels right by the unit's own answer, less the release's.
        loss: mean log loss of the release, less the unit's own.
    """

    right: Numbers
    loss: Numbers


def simulate(
    rows: UnitRows, candidates: Sequence[PersonalSettings], rng: np.random.Generator
) -> Gains:
    """Simulate a session of each unit with a prior that was fitted to other units.

    Args:
        rows: with units.
        candidates: settings to try.
        rng: order of labels, and the units that are simulated.
    """
    assert rows.units is not None
    units = rng.permutation(int(rows.units.max()) + 1)
    folds = np.array_split(units, min(FOLDS, len(units)))
    each = max(1, SESSIONS // len(folds))
    right: list[list[float]] = []
    loss: list[list[float]] = []
    for fold in folds:
        out = np.isin(rows.units, fold)
        prior = fit_space(rows.of(~out)).prior()
        models = [_model(rows, prior, settings) for settings in candidates]
        for unit in fold[:each]:
            own = rng.permutation(np.flatnonzero(rows.units == unit))[:LABELS]
            found = [session(model, rows.of(own)) for model in models]
            right.append([one[0] for one in found])
            loss.append([one[1] for one in found])
    return Gains(np.array(right).T, np.array(loss).T)


def session(model: PersonalModel, rows: UnitRows) -> tuple[float, float]:
    """Return the gains in accuracy and in log loss of one unit's labels, each judged first."""
    state = model.new()
    right = loss = 0.0
    phi = rows.phi.astype(np.float32)
    for vector, scores, label in zip(phi, rows.scores.tolist(), rows.labels.tolist(), strict=True):
        outcome = model.learn(state, vector, scores, label, 0.0)
        right += outcome.personal_right - outcome.own_right
        largest = model.prior.settings.largest_loss
        loss += min(outcome.model_loss, largest) - min(outcome.personal_loss, largest)
    count = max(len(phi), 1)
    return right / count, loss / count


def _model(rows: UnitRows, prior: ClassPrior, settings: PersonalSettings) -> PersonalModel:
    # Cohorts are the device's attributes there; here the mean over cohorts is fair enough.
    labels = tuple(range(rows.classes))
    made = PersonalPrior(
        *("simulated", "1.0", "0" * 64, 1, "features", True),
        settings=settings,
        labels=labels,
        classes=ClassPrior(
            *(prior.projection, prior.origin, prior.means),
            *(prior.between, prior.shift, prior.frequencies), factors=prior.factors,
        ),
    )
    return PersonalModel(made, {})
