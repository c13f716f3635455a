"""Running features of a session, as a plan declares them.

A device keeps them of the events that the application tells of a unit, such as a user; no event
leaves it. ``edge_sdk/sessions/running_features.py`` computes them, on devices and for trainings.

Invariant: what is declared takes memory of a bounded size for each session, whatever its events.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from edge_sdk.contract.codec import decode, encode
from edge_sdk.contract.dtypes import RANGES, STRING, Dtype, misfit
from edge_sdk.contract.errors import require
from edge_sdk.contract.limits import LATEST
from edge_sdk.contract.names import check_name

SESSION_FEATURES: Final = 64
EVENT_FIELDS: Final = 64
DECLARATION_BYTES: Final = 32 << 10
"""Of one declaration: it is part of every plan of the model."""

SESSIONS: Final = 1_000_000
"""Most sessions of a device at one time."""

LAST: Final = 64
"""How far back ``nth`` may reach."""

DISTINCT: Final = 1_024
"""Values up to which a distinct count is exact; it stays there."""

Kind = Literal["count", "sum", "mean", "minimum", "maximum", "last", "distinct", "since", "age"]
"""Rule by which a feature follows from events."""

Scalar = str | bool | int | float

DECAYING: Final = ("count", "sum", "mean")
WINDOWED: Final = ("count", "sum", "mean", "minimum", "maximum")
_OF_EVENTS: Final = ("count", "since", "age")
"""Kinds that need no field: they are of the events themselves."""

_OF_NUMBERS: Final = ("sum", "mean", "minimum", "maximum")


@dataclass(frozen=True, kw_only=True)
class RunningTerms:
    """Terms by which a feature follows from the events of a session.

    Attributes:
        kind: ``count`` of events, ``sum``, ``mean``, ``minimum`` or ``maximum`` of a field, its
            ``last`` value, its number of ``distinct`` values, seconds ``since`` the last event, or
            the session's ``age``: seconds since the first. ``None``: it is no running feature.
        field: of the event. Where an event has none, or a missing one, the feature stays as it is.
            ``count``, ``since`` and ``age`` do without: then every event counts.
        half_life_seconds: after which an event has half its weight in a count, sum or mean.
        window_seconds: only events that are at most so old count: a sliding window, to within 1/60
            of its length.
        nth: of ``last``: 1 for the newest value, 2 for the one before it.
        most: of ``distinct``: the count is exact up to it, and stays there.
        where: values that fields of the event must have, for the feature to see it.
    """

    kind: Kind | None = None
    field: str | None = None
    half_life_seconds: float | None = None
    window_seconds: float | None = None
    nth: int = 1
    most: int = 256
    where: Mapping[str, Scalar] = dataclasses.field(default_factory=dict)

    def check_terms(self) -> None:
        """Raise ContractError for terms that contradict each other."""
        kind = self.kind
        require(self.field is not None or kind in _OF_EVENTS, f"field: {kind} needs one")
        for name, kinds in (("half_life", DECAYING), ("window", WINDOWED)):
            seconds = getattr(self, f"{name}_seconds")
            require(seconds is None or kind in kinds, f"{name}: {kind} has none")
            fits = seconds is None or 1e-3 <= seconds <= LATEST
            require(fits, f"{name}: expected 0.001 s to {LATEST} s, got {seconds}")
        both = self.half_life_seconds is not None and self.window_seconds is not None
        require(not both, "window: expected it or half_life, got both")
        fits = self.nth == 1 or (kind == "last" and 1 <= self.nth <= LAST)
        require(fits, f"nth: expected 1 to {LAST}, of kind last, got {self.nth} of {kind}")
        require(1 <= self.most <= DISTINCT, f"most: expected 1 to {DISTINCT}, got {self.most}")

    @property
    def fractional(self) -> bool:
        """Return whether its values are no whole numbers, whatever the field."""
        return self.kind in ("mean", "since", "age") or self.half_life_seconds is not None


@dataclass(frozen=True)
class RunningFeature(RunningTerms):
    """One running feature: a column of the model. ``default`` is its value before the first event
    that it sees; ``None`` for 0 of a count, sum or distinct count, else for a missing value.
    """

    name: str
    dtype: Dtype
    default: Scalar | None = None

    def __post_init__(self) -> None:
        require(bool(self.name) and len(self.name) <= 200, "name: expected 1 to 200 characters")
        require(self.kind is not None, f"{self.name}: kind: expected one, got none")
        expected = misfit(self.dtype, self.default)
        require(not expected, f"{self.name}: default: expected {expected}, got {self.default!r}")
        self.check_terms()

    @property
    def filler(self) -> Scalar | None:
        """The value before the first event; whole numbers as such."""
        if self.default is None:
            if self.dtype == STRING:
                return ""
            return 0 if self.kind in ("count", "sum", "distinct") else None
        return int(self.default) if self.dtype in RANGES else self.default


@dataclass(frozen=True)
class SessionFeatures:
    """The running features of a model's sessions.

    Attributes:
        name: of the set.
        version: of the set: each change of what is declared makes the next one.
        features: columns of the model.
        fields: dtypes of an event's fields, by name.
        idle_seconds: a session is over when so long nothing came.
        sessions: that a device holds; beyond them the least recently used goes.
        memory_bytes: that they may take.
        kept: on the device's disk too, so that they outlive a restart.
    """

    name: str
    version: int
    features: tuple[RunningFeature, ...]
    fields: Mapping[str, Dtype] = dataclasses.field(default_factory=dict)
    idle_seconds: float = 1_800.0
    sessions: int = 10_000
    memory_bytes: int = 16_000_000
    kept: bool = False
    format: Literal[1] = 1

    def __post_init__(self) -> None:
        check_name("name", self.name)
        require(self.version >= 1, f"version: expected at least 1, got {self.version}")
        names = [feature.name for feature in self.features]
        fits = 0 < len(names) <= SESSION_FEATURES
        require(fits, f"features: expected 1 to {SESSION_FEATURES}, got {len(names)}")
        twice = sorted({name for name in names if names.count(name) > 1})
        require(not twice, f"features: expected different names, {twice} stand twice")
        require(len(self.fields) <= EVENT_FIELDS, f"fields: expected at most {EVENT_FIELDS}")
        for name, dtype in self.fields.items():
            require(
                bool(name) and len(name) <= 200, "fields: expected names of 1 to 200 characters"
            )
            require(dtype != "float16", f"fields: {name}: expected float32 or float64 for numbers")
        for feature in self.features:
            self._check(feature)
        self._check_bounds()

    @property
    def ref(self) -> str:
        """``NAME@N``."""
        return f"{self.name}@{self.version}"

    @property
    def rules_digest(self) -> str:
        """SHA-256 of what sessions depend on: not of version, bounds and defaults."""
        features = tuple(replace(each, default=None) for each in self.features)
        bare = SessionFeatures("rules", 1, features, self.fields, self.idle_seconds)
        return hashlib.sha256(bare.to_json()).hexdigest()

    @classmethod
    def from_json(cls, raw: bytes) -> SessionFeatures:
        """Parse; raises :class:`ContractError`."""
        return decode(cls, raw, limit=2 * DECLARATION_BYTES)

    def to_json(self) -> bytes:
        """Canonical bytes."""
        return encode(self)

    def _check_bounds(self) -> None:
        fits = 1 <= self.idle_seconds <= LATEST
        require(fits, f"idle: expected 1 s to {LATEST} s, got {self.idle_seconds}")
        fits = 1 <= self.sessions <= SESSIONS
        require(fits, f"sessions: expected 1 to {SESSIONS}, got {self.sessions}")
        least = 100_000
        fits = self.memory_bytes >= least
        require(fits, f"memory_bytes: expected at least {least}, got {self.memory_bytes}")
        size = len(encode(self))
        fits = size <= DECLARATION_BYTES
        require(fits, f"features: expected at most {DECLARATION_BYTES} bytes in all, got {size}")

    def _check(self, feature: RunningFeature) -> None:
        """Refuse a feature whose values its dtype, or whose fields an event does not have."""
        name, dtype = feature.name, feature.dtype
        for used in (feature.field, *feature.where):
            known = used is None or used in self.fields
            require(known, f"{name}: field {used!r} is none of {sorted(self.fields)}")
        for used, value in feature.where.items():
            expected = misfit(self.fields[used], value)
            require(not expected, f"{name}: where {used}: expected {expected}, got {value!r}")
        of = self.fields[feature.field] if feature.field is not None else None
        if feature.kind in _OF_NUMBERS:
            numbers = of not in (STRING, "bool")
            require(numbers, f"{name}: field {feature.field!r}: {feature.kind} needs numbers")
        takes, expected = _dtypes_of(feature, of)
        require(dtype in takes, f"{name}: dtype: {feature.kind} of it is {expected}, got {dtype}")


_FLOATS: Final = ("float32", "float64")
_NUMBERS: Final = (*_FLOATS, *RANGES)
_LIKE_THEIR_FIELD: Final = ("sum", "minimum", "maximum", "last")


def _dtypes_of(feature: RunningFeature, of: str | None) -> tuple[tuple[str, ...], str]:
    """Return the dtypes that hold a feature's values, and what they are called.

    Args:
        feature: declared.
        of: dtype of its field; ``None`` for none.
    """
    if feature.kind == "last" and of == STRING:
        return (STRING,), "a string"
    if feature.fractional or (of in _FLOATS and feature.kind in _LIKE_THEIR_FIELD):
        return _FLOATS, "float32 or float64"
    if feature.kind == "last" and of == "bool":
        return ("bool", *_NUMBERS), "bool or a number"
    return _NUMBERS, "a number"
