"""A fleet's release and personal prior, made without some people, as the hub would make them."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.coldstart.people import People
from benchmarks.coldstart.study import Work
from cloud_hub.personalise.fitting import FittedPrior, fit_classes
from converters import convert
from edge_sdk import EdgeDevice
from edge_sdk.contract.personal.prior import PersonalPrior
from edge_sdk.model.release import Release
from examples.digits.data import Digits

CHECKED: Final = 8
"""One of so many rows of the fleet is kept back, for the converter's checks."""

FOLDS: Final = 3


@dataclass(frozen=True)
class Line:
    """A release of a model that has not seen some people, and its prior."""

    people: People
    group: tuple[int, ...]
    """Whom it has not seen."""

    release: Release
    prior: PersonalPrior
    model: Pipeline
    trained: Digits
    """Rows of the model."""

    def device(self, prior: PersonalPrior | None = None) -> EdgeDevice:
        """Open the release with a prior, by default its own."""
        content = (prior or self.prior).to_bytes()
        path = self.release.folder.parent / f"{hashlib.sha256(content).hexdigest()}.prior"
        path.write_bytes(content)
        return EdgeDevice.offline(self.release.folder, prior=path)


def network(rows: Digits, seed: int) -> Pipeline:
    """Train a small network from scratch."""
    learner = MLPClassifier((64, 32), max_iter=60, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return Pipeline([("scale", StandardScaler()), ("learn", learner)]).fit(rows.X, rows.y)


_lines: dict[tuple[Any, ...], Line] = {}


def line_without(work: Work, people: People, group: tuple[int, ...]) -> Line:
    """Return the line of a fleet to which a group of people do not belong; made once."""
    key = (work, people.name, people.held_out, group)
    if key not in _lines:
        _lines[key] = _made(work, people, group)
    return _lines[key]


def _made(work: Work, people: People, group: tuple[int, ...]) -> Line:
    inside = ~np.isin(people.person, group)
    fleet = Digits(people.X[inside], people.y[inside])
    trained = people.plain or fleet
    model = network(trained, work.seed)
    name = f"line-{len(_lines)}"
    checked = slice(None, None, CHECKED)
    release = convert(
        model, fleet.X[checked], fleet.y[checked], name="people", out=work.folder / name,
        data=(trained.X, trained.y),
    )  # fmt: skip
    if people.plain:
        scores = model.predict_proba(fleet.X)
    else:
        scores = _scores_of_strangers(people, inside, work.seed)
    units = [int(unit) for unit in people.unit[inside]]
    found = fit_classes(fleet.X, fleet.y, scores, units=units, seed=work.seed)
    return Line(people, group, release, prior_of(release, found), model, trained)


def prior_of(release: Release, found: FittedPrior) -> PersonalPrior:
    """Return the file's content of a fit on the features of a release."""
    manifest = release.manifest
    return PersonalPrior(
        model=manifest.model,
        version=manifest.version,
        manifest=release.digest,
        generation=1,
        basis="features",
        helps=found.verdict.helps,
        settings=found.settings,
        labels=manifest.signature.classes,
        classes=found.classes,
    )


def _scores_of_strangers(people: People, inside: NDArray[np.bool_], seed: int) -> NDArray[Any]:
    """Probabilities [N, C] of each row by a network that has not seen its person.

    The release has seen the fleet's people, and is surer of them than of anybody new; how much is
    to be gained by knowing somebody is learnt from answers to strangers.
    """
    X, y, person = people.X[inside], people.y[inside], people.person[inside]
    everybody = np.unique(person)
    scores = np.zeros((len(y), people.classes), np.float32)
    for fold in range(FOLDS):
        apart = np.isin(person, everybody[fold::FOLDS])
        model = network(Digits(X[~apart], y[~apart]), seed)
        scores[apart] = model.predict_proba(X[apart])
    return scores
