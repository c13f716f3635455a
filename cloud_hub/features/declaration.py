"""Feature sets as people declare them: one YAML file each, kept beside the policy. Pure.

A set is a table with one row for each entity and moment: who it is of, since when it holds, and the
features. What is declared is what serving and training both go by.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Final

from cloud_hub.errors import Conflict
from cloud_hub.text.yaml import read_yaml
from edge_sdk.contract.dtypes import RANGES, STRING, Dtype, misfit
from edge_sdk.contract.errors import require
from edge_sdk.contract.names import check_name
from edge_sdk.contract.personal.session_features import (
    RunningFeature,
    RunningTerms,
    SessionFeatures,
)

Default = float | int | bool | str | None
"""Value of a feature for an entity that has none; ``None`` for a missing value."""

DAY: Final = 86_400.0
MOST_FEATURES: Final = 1_000
RESERVED: Final = "@"
"""Beginning of names that the store and the files of devices use for themselves."""


@dataclass(frozen=True)
class Feature(RunningTerms):
    """One column. ``default`` is served and trained on where an entity has no row yet, a session no
    event. Those of sessions say by which terms they follow from events.
    """

    name: str
    dtype: Dtype
    default: Default = None
    description: str = ""

    def __post_init__(self) -> None:
        require(bool(self.name) and len(self.name) <= 200, "name: expected 1 to 200 characters")
        own = self.name.startswith(RESERVED)
        require(not own, f"name: expected one that does not begin with {RESERVED}")
        require(self.dtype != "float16", "dtype: expected float32 or float64 for numbers")
        expected = misfit(self.dtype, self.default)
        require(not expected, f"default: expected {expected}, got {self.default!r:.60}")

    @property
    def running(self) -> RunningFeature:
        """The feature as devices compute it of a session."""
        terms = {each.name: getattr(self, each.name) for each in fields(RunningTerms)}
        return RunningFeature(self.name, self.dtype, self.default, **terms)

    @property
    def filler(self) -> Default:
        """The default, a whole number as such: YAML's ``0.0`` is the integer 0 of an integer."""
        if self.kind is not None:
            return self.running.filler
        if self.default is None:
            # Models have no missing texts: what devices get for one is what trainings see.
            return "" if self.dtype == STRING else None
        return int(self.default) if self.dtype in RANGES else self.default


@dataclass(frozen=True)
class SessionSource:
    """Events that applications tell their devices of a session; they leave no device.

    ``fields`` are dtypes by name of the field. A session is over after ``idle_seconds`` without an
    event. A device holds at most ``sessions``, in ``memory_mb``; the least recently used goes. With
    ``keep`` they outlive a restart, on its disk.
    """

    fields: Mapping[str, Dtype] = field(default_factory=dict)
    idle_seconds: float = 1_800.0
    sessions: int = 10_000
    memory_mb: int = 16
    keep: bool = False


@dataclass(frozen=True)
class FeatureSource:
    """What makes the values of a set: devices, of the events of a ``session``; ``sql`` (a query on
    ``database``, an SQLAlchemy URL, or the URL that the hub's environment has as ``database_env``);
    or ``python`` (``module:function``, called with the moment ``as_of``; ``path`` is put before
    Python's own). Query and function are asked anew ``every_seconds``; 0 for by hand. They may take
    ``timeout_seconds``, and ``memory_mb``: a function in all, a query with its rows.
    """

    sql: str | None = None
    database: str | None = None
    database_env: str | None = None
    python: str | None = None
    path: str | None = None
    every_seconds: float = 0.0
    timeout_seconds: float = 600.0
    memory_mb: int = 2_048
    session: SessionSource | None = None

    def __post_init__(self) -> None:
        one = sum(each is not None for each in (self.sql, self.python, self.session)) == 1
        require(one, "expected exactly one of sql and python, or session")
        if self.session is not None:
            require(self.every_seconds == 0, "every: only sql and python are asked")
        elif self.sql is not None:
            named = (self.database is None) != (self.database_env is None)
            require(named, "sql: expected exactly one of database and database_env")
        else:
            module, _, function = (self.python or "").partition(":")
            require(bool(module and function), "python: expected module:function")
            require(
                self.database is None and self.database_env is None, "database: only sql has one"
            )
        often = self.every_seconds == 0 or self.every_seconds >= 1
        require(often, "every: expected at least 1s, or 0 for by hand")
        for name in ("timeout_seconds", "memory_mb"):
            require(getattr(self, name) > 0, f"{name}: expected more than 0")


@dataclass(frozen=True)
class FeatureSet:
    """A declared set.

    Attributes:
        name: of the set.
        entity: column that names the entity, in files, queries and labels (``user_id``).
        features: the columns.
        owner: whom to ask.
        freshness_seconds: a value that is older is stale: it is served, with its age, and counted.
            Sessions have none: their values are of the moment.
        description: for people.
        time: column that says since when a row holds (a moment, or Unix seconds).
        created: column that says when a row was written, where there is one: of several rows of one
            entity and moment in one file the newest counts. It is not kept.
        delay_seconds: how long after that moment serving has the row. Training does not see it
            earlier either.
        history_seconds: how long rows are kept.
        models: lines that are given these features.
        source: what makes the rows; ``None`` where they are only imported.
    """

    name: str
    entity: str
    features: tuple[Feature, ...]
    owner: str
    freshness_seconds: float = 0.0
    description: str = ""
    time: str = "event_timestamp"
    created: str | None = None
    delay_seconds: float = 0.0
    history_seconds: float = 730 * DAY
    models: tuple[str, ...] = ()
    source: FeatureSource | None = None

    def __post_init__(self) -> None:
        check_name("name", self.name)
        require(bool(self.owner.strip()), "owner: expected whom to ask about it")
        if self.session is None:
            require(self.freshness_seconds > 0, "freshness: expected more than 0")
        else:
            require(self.freshness_seconds == 0, "freshness: sessions have none")
        require(self.delay_seconds >= 0, "delay: expected at least 0")
        require(self.history_seconds > 0, "history: expected more than 0")
        count = len(self.features)
        require(0 < count <= MOST_FEATURES, f"features: expected 1 to {MOST_FEATURES}, got {count}")
        names = [self.entity, self.time, *([self.created] if self.created else []), *self.names]
        twice = sorted({name for name in names if names.count(name) > 1})
        require(not twice, f"features: expected different names, {twice} stand twice")
        for model in self.models:
            check_name("models", model)
        for feature in self.features:
            fits = self.session is not None or feature.kind is None
            require(
                fits, f"features: {feature.name}: kind: only sets with source: session have one"
            )
        if self.session is not None:
            self.sessions_at(1)

    @property
    def session(self) -> SessionSource | None:
        """Events of which devices compute it; ``None`` for a set with rows."""
        return None if self.source is None else self.source.session

    def sessions_at(self, version: int) -> SessionFeatures:
        """Return a set of sessions as devices get it; raises ContractError if they cannot."""
        events = self.session
        assert events is not None
        return SessionFeatures(
            self.name,
            version,
            tuple(feature.running for feature in self.features),
            events.fields,
            events.idle_seconds,
            events.sessions,
            events.memory_mb * 1_000_000,
            events.keep,
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features, in order."""
        return tuple(feature.name for feature in self.features)

    @property
    def texts(self) -> tuple[str, ...]:
        """Names of the columns that are texts whatever a file without types has in them."""
        told = {} if self.session is None else self.session.fields
        names = (name for name, dtype in told.items() if dtype == STRING)
        return (self.entity, *(f.name for f in self.features if f.dtype == STRING), *names)

    @property
    def dtypes(self) -> dict[str, Dtype]:
        """Dtypes by name."""
        return {feature.name: feature.dtype for feature in self.features}


@dataclass(frozen=True)
class VersionedSet:
    """A version of a set: each change of what is declared makes the next one."""

    declared: FeatureSet
    version: int

    @property
    def ref(self) -> str:
        """``NAME@N``."""
        return f"{self.declared.name}@{self.version}"


def parse_set(text: str, name: str = "features.yaml") -> FeatureSet:
    """Read a declaration; raises Invalid with a line for each mistake."""
    return read_yaml(FeatureSet, text, name)


def digest_of(text: str) -> str:
    """Return the SHA-256 that names a declaration."""
    return hashlib.sha256(text.encode()).hexdigest()


def check_change(before: FeatureSet, after: FeatureSet) -> None:
    """Raise Conflict if rows of an earlier version could not be read as those of the next one.

    A feature that means something else gets another name: models were trained on the old one.
    """
    if (before.session is None) != (after.session is None):
        raise Conflict(f"{after.name}: has rows or is of sessions, not both; declare another set")
    if before.entity != after.entity:
        raise Conflict(
            f"{after.name}: its rows are of {before.entity}, not of {after.entity}; "
            "declare another set"
        )
    old = before.dtypes
    for feature in after.features:
        if old.get(feature.name, feature.dtype) != feature.dtype:
            raise Conflict(
                f"{after.name}: {feature.name} is {old[feature.name]} in the rows that are kept, "
                f"not {feature.dtype}; give the new one another name"
            )


def check_beside(new: FeatureSet, others: list[FeatureSet]) -> None:
    """Raise Conflict if a set contradicts another one of the hub.

    One name is one type everywhere, and of the sets of one model each column has one source and
    all are of one entity: a device joins them by one key.
    """
    for other in others:
        mine, theirs = new.dtypes, other.dtypes
        for name in sorted(set(mine) & set(theirs)):
            if mine[name] != theirs[name]:
                raise Conflict(
                    f"{name}: is declared twice with two types: {mine[name]} in {new.name}, "
                    f"{theirs[name]} in {other.name}; rename one"
                )
        shared = sorted(set(new.models) & set(other.models))
        both = sorted(set(mine) & set(theirs))
        sessions = [each for each in (new, other) if each.session is not None]
        if shared and len(sessions) == 2:
            raise Conflict(
                f"{shared[0]}: has session features of {other.name} already; a model has one set "
                "of them, so add yours there"
            )
        if shared and both:
            raise Conflict(f"{shared[0]}: would get {both[0]} from {new.name} and {other.name}")
        if shared and new.entity != other.entity and not sessions:
            raise Conflict(
                f"{shared[0]}: is joined by one entity, but {new.name} is of {new.entity} and "
                f"{other.name} of {other.entity}"
            )
