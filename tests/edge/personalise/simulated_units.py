"""Units of a fleet whose variances are known, and the priors that they begin with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.personal.floats import Floats
from edge_sdk.contract.personal.prior import ClassPrior, NumberPrior, PersonalPrior
from edge_sdk.personalise.personal_model import PersonalModel
from edge_sdk.personalise.unit_state import UnitState

DIGEST = "0123456789abcdef" * 4


def floats(array: Any) -> Floats:
    values = np.asarray(array, np.float32)
    return Floats.of(values.ravel().tolist(), values.shape)


def class_prior(
    means: NDArray[Any],
    *,
    between: float = 1.0,
    shift: float = 1.0,
    cohorts: dict[str, NDArray[Any]] | None = None,
    generation: int = 1,
    helps: bool = True,
    factors: NDArray[Any] | None = None,
) -> PersonalPrior:
    """A prior whose φ is the space itself; ``factors`` are [C, r, k]."""
    classes, rank = means.shape
    part = ClassPrior(
        floats(np.eye(rank)),
        floats(np.zeros(rank)),
        floats(means),
        floats(np.full(rank, between)),
        floats(np.full(rank, shift)),
        floats(np.full(classes, 1 / classes)),
        factors=None if factors is None else floats(factors.reshape(classes * rank, -1)),
        cohorts={name: floats(value) for name, value in (cohorts or {}).items()},
    )
    labels = tuple(f"class {i}" for i in range(classes))
    return PersonalPrior(
        "demo", "1.0", DIGEST, generation, "features", helps,
        labels=labels, classes=part, attribute="region" if cohorts else None,
    )  # fmt: skip


def number_prior(
    *, offset: float = 4.0, slope: float = 1.0, noise: float = 0.25, generation: int = 1
) -> PersonalPrior:
    part = NumberPrior(10.0, 2.0, offset, slope, noise)
    return PersonalPrior("demo", "1.0", DIGEST, generation, "outputs", True, number=part)


def taught_units(
    model: PersonalModel,
    count: int,
    labels: int,
    rng: np.random.Generator,
    *,
    between: float = 1.0,
    shift: float = 1.0,
    mean: float = 0.0,
) -> Iterator[UnitState]:
    """Units whose class means vary with these variances around the prior's, each taught."""
    part = model.prior.classes
    assert part is not None
    means = np.array(part.means.numbers()).reshape(part.means.shape)
    classes, rank = means.shape
    for _ in range(count):
        own = means + mean + rng.normal(0, shift**0.5, rank)
        own = own + rng.normal(0, between**0.5, (classes, rank))
        state = model.new()
        for label in rng.integers(0, classes, labels).tolist():
            row = (own[label] + rng.normal(0, 1, rank)).astype(np.float32)
            odds = np.exp(-0.5 * ((row - means) ** 2).sum(axis=1))
            scores = (odds + 1e-9) / (odds + 1e-9).sum()
            model.learn(state, row, scores.tolist(), label, 0.0)
        yield state


def taught_numbers(
    model: PersonalModel, count: int, labels: int, rng: np.random.Generator
) -> Iterator[UnitState]:
    """Units of a regressor whose offsets and slopes vary as the prior says."""
    part = model.prior.number
    assert part is not None
    for _ in range(count):
        theta = rng.normal(0, [part.offset**0.5, part.slope**0.5])
        state = model.new()
        for z in rng.normal(0, 1, labels).tolist():
            value = part.centre + part.scale * z
            truth = value + theta[0] + theta[1] * z + rng.normal(0, part.noise**0.5)
            model.learn_number(state, value, float(truth), 0.0)
        yield state
