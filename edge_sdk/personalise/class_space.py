"""A prior's arrays, as a unit's mathematics takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from edge_sdk.contract.personal.floats import Floats
    from edge_sdk.contract.personal.prior import PersonalPrior

Matrix = NDArray[np.float32]


def array_of(floats: Floats) -> Matrix:
    """Return the numbers as an array of their shape."""
    return np.frombuffer(floats.raw(), "<f4").reshape(floats.shape).astype(np.float32)


class ClassSpace:
    """The space in which units of a classifier differ.

    Attributes:
        projection: [r, d].
        origin: [r], −projection · origin of the prior.
        base: [C, r] class means of the fleet, of which sums are kept.
        mean: [C, r] those with the cohort's shift.
        between: [2, 1, r] variances of class means, slow and fast.
        inverse_shift: [2, r] precisions of the shift that classes share, twice the same.
        log_frequencies: [C] of classes in the fleet.
        spread: [r] variances of one class's mean between units, of all causes together.
        factors: [C · r, k], or ``None`` without.
        factor_products: [C · r, k · k] products of two factors at each place.
    """

    def __init__(self, prior: PersonalPrior, attributes: Mapping[str, str]) -> None:
        part = prior.classes
        assert part is not None
        self.projection = array_of(part.projection)
        self.origin: Matrix = -(self.projection @ array_of(part.origin))
        self.base = array_of(part.means)
        self.classes: int = self.base.shape[0]
        self.rank: int = self.base.shape[1]
        self.cohort: Matrix = np.zeros(self.rank, np.float32)
        value = attributes.get(prior.attribute) if prior.attribute else None
        if value is not None and value in part.cohorts:
            self.cohort = array_of(part.cohorts[value])
        self.has_cohort = bool(self.cohort.any())
        self.mean: Matrix = self.base + self.cohort
        wide = np.array([[[1.0]], [[prior.settings.widening]]], np.float32)
        between = np.maximum(array_of(part.between), np.float32(1e-6))
        shift = np.maximum(array_of(part.shift), np.float32(1e-6))
        self.between: Matrix = between * wide
        self.inverse_shift: Matrix = np.broadcast_to(
            np.float32(1.0) / shift, (2, self.rank)
        ).astype(np.float32)
        self.spread: Matrix = between + shift
        self.log_frequencies: Matrix = np.log(array_of(part.frequencies))
        self.factors = None if part.factors is None else array_of(part.factors)
        if self.factors is not None:
            products = self.factors[:, :, None] * self.factors[:, None, :]
            self.factor_products = products.reshape(len(products), -1)
            along = np.square(self.factors).sum(axis=1).reshape(self.classes, self.rank)
            self.spread = self.spread + along.mean(axis=0)

    def place(self, phi: Matrix) -> Matrix:
        """Return u [r] of a basis vector φ [d]."""
        u: Matrix = self.projection.dot(phi)
        u += self.origin
        return u
