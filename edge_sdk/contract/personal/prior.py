"""The personal prior: what a unit (a user, a session) without history begins with.

A signed target, ``packs/MODEL/SHA256.prior``, made by the hub for one release. The device refuses
it beside any other release. Units keep what they learnt as long as
:attr:`PersonalPrior.basis_digest` stays: their sums mean the same then, whatever version of the
model serves.

Model (two-covariance model of speaker recognition: Ioffe 2006, Prince & Elder 2007): a row's basis
vector φ [d] becomes u = projection · (φ − origin) [r]. Rows of class c of unit k are N(μ_kc, I),
with μ_kc = means_c + cohort + factors_c · y_k + s_k + d_kc, y_k ~ N(0, 1), s_k ~ N(0, shift),
d_kc ~ N(0, between), by dimension.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from edge_sdk.contract.codec import decode, encode
from edge_sdk.contract.errors import require
from edge_sdk.contract.limits import EMBEDDING, FEATURES, GROUPS, NAME_CHARACTERS
from edge_sdk.contract.manifest import Label
from edge_sdk.contract.names import Version, check_digest, check_name
from edge_sdk.contract.personal.floats import Floats
from edge_sdk.contract.personal.settings import PersonalSettings
from edge_sdk.contract.version import PRIOR_FORMAT

PRIOR_BYTES: Final = 16 << 20
DIMENSIONS: Final = 48
"""Of the space in which units differ: work of a label grows with it."""

FACTORS: Final = 8
"""Of units' differences."""

CLASSES: Final = 1_000
MAP_NUMBERS: Final = 1 << 20
"""Numbers of a unit's correction, classes × basis."""

LARGEST_BASIS: Final = FEATURES + EMBEDDING
LEAST_LOG: Final = -8.0
"""Logarithms of probabilities in φ are cut there: how small one that is nearly 0 is tells nothing.
"""

LARGEST_VARIANCE: Final = 1e6
"""Between units, where the variance within is 1."""

Basis = Literal["outputs", "embedding", "features", "features+embedding"]


@dataclass(frozen=True)
class ClassPrior:
    """Prior of a classifier's units.

    Attributes:
        projection: [r, d].
        origin: [d].
        means: [C, r] class means of the fleet.
        between: [r] variances between units of one class's mean, beside the shift.
        shift: [r] variances between units of the shift that all classes share.
        frequencies: [C] how often each class is among the fleet's rows, above 0, sums to 1.
        cohorts: mean shift [r] of units by the value of the prior's attribute.
        factors: [C · r, k] directions of all class means together along which units differ, each
            as long as one deviation of units along it; ``None`` without.
    """

    projection: Floats
    origin: Floats
    means: Floats
    between: Floats
    shift: Floats
    frequencies: Floats
    cohorts: Mapping[str, Floats] = field(default_factory=dict)
    factors: Floats | None = None

    def __post_init__(self) -> None:
        require(len(self.projection.shape) == 2, "projection: expected two sizes")
        require(len(self.means.shape) == 2, "means: expected two sizes")
        r, d = self.projection.shape
        c = self.means.shape[0]
        require(1 <= r <= DIMENSIONS, f"projection: expected 1 to {DIMENSIONS} rows, got {r}")
        require(1 <= d <= LARGEST_BASIS, f"projection: expected 1 to {LARGEST_BASIS} columns")
        require(2 <= c <= CLASSES, f"means: expected 2 to {CLASSES} classes, got {c}")
        require(c * d <= MAP_NUMBERS, f"expected classes × basis of at most {MAP_NUMBERS}")
        shapes = {"origin": (d,), "means": (c, r), "frequencies": (c,)}
        shapes |= {"between": (r,), "shift": (r,)}
        for name, shape in shapes.items():
            found = getattr(self, name).shape
            require(found == shape, f"{name}: expected shape {shape}, got {found}")
        if self.factors is not None:
            found = self.factors.shape
            fits = found[0] == c * r and len(found) == 2 and 1 <= found[1] <= FACTORS
            require(fits, f"factors: expected shape ({c * r}, 1 to {FACTORS}), got {found}")
        for value, shift in self.cohorts.items():
            require(shift.shape == (r,), f"cohorts.{value}: expected shape {(r,)}")
        self._check_ranges()

    def _check_ranges(self) -> None:
        for name in ("between", "shift"):
            numbers = getattr(self, name).numbers()
            fits = min(numbers) >= 0 and max(numbers) <= LARGEST_VARIANCE
            require(fits, f"{name}: expected 0 to {LARGEST_VARIANCE:g}")
        frequencies = self.frequencies.numbers()
        whole = min(frequencies) > 0 and abs(sum(frequencies) - 1) < 1e-3
        require(whole, "frequencies: expected numbers above 0 that sum to 1")


@dataclass(frozen=True)
class NumberPrior:
    """Prior of a regressor's units: truth − answer is N(θ₀ + θ₁ · z, noise).

    z is the standardised answer, (answer − centre) / scale.

    Attributes:
        centre: of the release's answers.
        scale: of them, above 0.
        offset: variance of θ₀ between units, in the square of the answer's unit.
        slope: variance of θ₁ between units, in the same unit.
        noise: variance within a unit, above 0.
        cohorts: mean (θ₀, θ₁) of units by the value of the prior's attribute.
    """

    centre: float
    scale: float
    offset: float
    slope: float
    noise: float
    cohorts: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("scale", "noise"):
            require(getattr(self, name) > 0, f"{name}: expected a number above 0")
        for name in ("offset", "slope"):
            require(getattr(self, name) >= 0, f"{name}: expected a number of at least 0")


@dataclass(frozen=True)
class PersonalPrior:
    """Content of a ``.prior`` file.

    Attributes:
        model: name of the model.
        version: of the release.
        manifest: SHA-256 of the release's manifest.
        generation: rises with each new fit of a model's prior.
        basis: which vector of a prediction φ is; ``features+embedding`` has the features first.
        helps: whether units that were left out of the fit were answered better with it than
            without, at the hub's level. Where it is false, a unit has to show so for itself.
        settings: how units learn.
        labels: the release's classes in the order of its probabilities; none for a regressor.
        classes: prior of a classifier; ``None`` for a regressor.
        number: prior of a regressor; ``None`` for a classifier.
        attribute: attribute of devices that names the cohort; ``None`` without cohorts.
    """

    model: str
    version: str
    manifest: str
    generation: int
    basis: Basis
    helps: bool
    settings: PersonalSettings = PersonalSettings()
    labels: tuple[Label, ...] = ()
    classes: ClassPrior | None = None
    number: NumberPrior | None = None
    attribute: str | None = None
    format: Literal[1] = PRIOR_FORMAT

    def __post_init__(self) -> None:
        check_name("model", self.model)
        Version.parse(self.version)
        check_digest("manifest", self.manifest)
        require(self.generation >= 1, f"generation: expected at least 1, got {self.generation}")
        one = (self.classes is None) != (self.number is None)
        require(one, "expected either classes or number")
        count = 0 if self.classes is None else self.classes.means.shape[0]
        require(len(self.labels) == count, f"labels: expected {count}, got {len(self.labels)}")
        require(len(set(self.labels)) == count, "labels: expected different labels")
        self._check_cohorts()

    def _check_cohorts(self) -> None:
        cohorts = self.cohorts
        require(len(cohorts) <= GROUPS, f"cohorts: expected at most {GROUPS}, got {len(cohorts)}")
        named = self.attribute is not None or not cohorts
        require(named, "attribute: expected the name of one, since there are cohorts")
        texts = [*cohorts, self.attribute or ""]
        longest = max(map(len, texts))
        require(
            longest <= 4 * NAME_CHARACTERS,
            f"cohorts: expected at most {4 * NAME_CHARACTERS} characters",
        )

    @property
    def kind(self) -> Literal["classes", "number"]:
        """``classes`` for a classifier, ``number`` for a regressor."""
        return "number" if self.classes is None else "classes"

    @property
    def cohorts(self) -> Mapping[str, object]:
        """What units of each cohort begin with, by the value of the attribute."""
        part = self.classes or self.number
        return {} if part is None else part.cohorts

    @property
    def basis_digest(self) -> str:
        """SHA-256 of all that a unit's sums are sums of.

        Two priors with the same one may hand a unit's state over to each other.
        """
        parts: list[object] = [self.kind, self.basis, list(self.labels)]
        if self.classes is not None:
            arrays = (self.classes.projection, self.classes.origin, self.classes.means)
            parts += [[list(each.shape), each.data] for each in arrays]
        if self.number is not None:
            parts += [self.number.centre, self.number.scale]
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def to_bytes(self) -> bytes:
        """Canonical bytes, whose SHA-256 names the file."""
        return encode(self)

    @classmethod
    def from_bytes(cls, raw: bytes) -> PersonalPrior:
        """Parse a file.

        Raises:
            ContractError: it is no prior, damaged, or too large.
        """
        return decode(cls, raw, limit=PRIOR_BYTES)
