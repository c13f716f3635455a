"""The history of sets: immutable Parquet files in the artifact store, listed in the database.

Invariant: a file counts from the moment its row is in the database, and whole. It is stored before
its row, and forgotten after it; a kill in between leaves a file that nothing names. The same rows
are the same file, and are listed once however often they come.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Engine, delete, func, select

from cloud_hub.database.engine import insert_if_new, transaction
from cloud_hub.database.locks import exclusive
from cloud_hub.deferred.libraries import pa, pc
from cloud_hub.errors import Conflict
from cloud_hub.features.declaration import FeatureSet, VersionedSet, digest_of, parse_set
from cloud_hub.features.intake import TIME
from cloud_hub.features.moments import MICRO
from cloud_hub.features.row_files import parquet_bytes
from cloud_hub.features.set_history import SetHistory
from cloud_hub.features.tables import feature_segments, feature_sets, feature_uses

if TYPE_CHECKING:
    from cloud_hub.storage.artifact_store import ArtifactStore


@dataclass(frozen=True)
class FeatureSegment:
    """One file of rows.

    Attributes:
        name: of the set.
        version: of the set when the rows came.
        sha256: of the file.
        bytes: of the file.
        rows: in it.
        since: moment of its first row, Unix seconds.
        until: of its last row.
        source: where the rows are from.
        actor: who brought them.
        at: when, Unix seconds.
    """

    name: str
    version: int
    sha256: str
    bytes: int
    rows: int
    since: float
    until: float
    source: str
    actor: str
    at: float


@dataclass(frozen=True)
class FeatureUse:
    """A version of a model that has to do with a version of a set.

    Attributes:
        model: name of the line.
        version: of the model.
        name: of the set.
        set_version: of the set.
        kind: ``trained`` (on rows that were joined) or ``served`` (devices are given them).
        history: SHA-256 of the list of files that were there.
        at: Unix seconds.
    """

    model: str
    version: str
    name: str
    set_version: int
    kind: str
    history: str
    at: float


class FeatureHistory:
    """Sets and their rows.

    Args:
        engine: of the hub's database.
        files: where Parquet files are kept.
    """

    def __init__(self, engine: Engine, files: ArtifactStore) -> None:
        self._engine = engine
        self._files = files

    def alone(self) -> AbstractContextManager[None]:
        """Return a context that one thread of all workers enters at a time, to declare a set."""
        return exclusive(self._engine, "feature sets")

    def sets(self) -> list[VersionedSet]:
        """Return the newest version of every set, by name."""
        newest = select(feature_sets.c.name, func.max(feature_sets.c.version).label("version"))
        newest_ = newest.group_by(feature_sets.c.name).subquery()
        query = select(feature_sets).join(
            newest_,
            (feature_sets.c.name == newest_.c.name) & (feature_sets.c.version == newest_.c.version),
        )
        with self._engine.connect() as db:
            rows = db.execute(query.order_by(feature_sets.c.name)).mappings().all()
        return [VersionedSet(_parsed(row["text"]), row["version"]) for row in rows]

    def of_model(self, model: str) -> list[VersionedSet]:
        """Return the sets whose rows a model gets; those of sessions have none."""
        sets = (each for each in self.sets() if each.declared.session is None)
        return [each for each in sets if model in each.declared.models]

    def versions(self, name: str) -> list[FeatureSet]:
        """Return all that was ever declared for a set, oldest first."""
        query = select(feature_sets.c.text).where(feature_sets.c.name == name)
        with self._engine.connect() as db:
            texts = db.execute(query.order_by(feature_sets.c.version)).scalars().all()
        return [_parsed(text) for text in texts]

    def declare(self, text: str, *, actor: str, now: float) -> VersionedSet:
        """Store a declaration as the next version, unless it is the newest; raises Conflict."""
        declared, digest = parse_set(text), digest_of(text)
        query = select(feature_sets).where(feature_sets.c.name == declared.name)
        with transaction(self._engine) as db:
            rows = db.execute(query.order_by(feature_sets.c.version)).mappings().all()
            if rows and rows[-1]["digest"] == digest:
                return VersionedSet(declared, rows[-1]["version"])
            version = rows[-1]["version"] + 1 if rows else 1
            row = {"name": declared.name, "version": version, "text": text, "digest": digest}
            if not insert_if_new(db, feature_sets, {**row, "actor": actor, "at": now}):
                raise Conflict(
                    f"{declared.name}: was declared by somebody else meanwhile; apply again"
                )
        return VersionedSet(declared, version)

    def add(
        self, to: VersionedSet, rows: pa.Table, *, source: str, actor: str, now: float
    ) -> tuple[FeatureSegment, bool]:
        """Keep rows; return their file, and False if the same rows were there already.

        Args:
            to: newest version of the set.
            rows: as :func:`cloud_hub.features.intake.taken` returns them, at least one.
            source: where they are from.
            actor: who brings them.
            now: Unix seconds.
        """
        raw = parquet_bytes(rows)
        digest = hashlib.sha256(raw).hexdigest()
        span = pc.min_max(rows["@" + TIME].cast(pa.int64())).as_py()
        segment = FeatureSegment(
            to.declared.name, to.version, digest, len(raw), rows.num_rows,
            span["min"] / MICRO, span["max"] / MICRO, source, actor, now,
        )  # fmt: skip
        self._files.put(_file(segment), raw, sha256=digest)
        with transaction(self._engine) as db:
            return segment, insert_if_new(db, feature_segments, asdict(segment))

    def segments(self, name: str) -> list[FeatureSegment]:
        """Return the files of a set, in the order in which they came."""
        columns = [column for column in feature_segments.c if column.name != "id"]
        query = select(*columns).where(feature_segments.c.name == name)
        with self._engine.connect() as db:
            rows = db.execute(query.order_by(feature_segments.c.id)).mappings().all()
        return [FeatureSegment(**row) for row in rows]

    def state(self, name: str) -> str:
        """Return a text that is another one whenever the files of a set are others."""
        s = feature_segments.c
        query = select(func.count(), func.max(s.id)).where(s.name == name)
        with self._engine.connect() as db:
            count, newest = db.execute(query).one()
        return f"{count}/{newest or 0}"

    def newest_of(self, name: str, source: str) -> float | None:
        """Return when the newest file came whose source begins so, Unix seconds."""
        s = feature_segments.c
        query = select(func.max(s.at)).where(s.name == name, s.source.startswith(source))
        with self._engine.connect() as db:
            at: float | None = db.execute(query).scalar()
        return at

    def last_between(self, name: str, after: float, until: float) -> float | None:
        """Return the last moment in files that have rows of moments in between, Unix seconds."""
        s = feature_segments.c
        query = select(func.max(s.until)).where(s.name == name, s.since <= until, s.until > after)
        with self._engine.connect() as db:
            last: float | None = db.execute(query).scalar()
        return last

    @contextlib.contextmanager
    def opened(
        self, sets: Sequence[VersionedSet], *, until: float | None = None
    ) -> Iterator[list[SetHistory]]:
        """Give the rows of sets as local files while a block runs.

        Args:
            sets: to be read.
            until: leave out files whose rows are all of later moments (Unix seconds).
        """
        with contextlib.ExitStack() as stack:
            yield [self._opened(each, until, stack) for each in sets]

    def _opened(
        self, of: VersionedSet, until: float | None, stack: contextlib.ExitStack
    ) -> SetHistory:
        segments = self.segments(of.declared.name)
        if until is not None:
            segments = [segment for segment in segments if segment.since <= until]
        names = "\n".join(segment.sha256 for segment in segments)
        local = (self._files.local_file(_file(segment)) for segment in segments)
        return SetHistory(
            of.declared,
            of.version,
            tuple(stack.enter_context(each) for each in local),
            hashlib.sha256(names.encode()).hexdigest(),
        )

    def forget(self, of: VersionedSet, now: float) -> int:
        """Forget files whose rows are all older than the set keeps; return how many they were.

        The newest file stays, however old: devices are still given what is in it.
        """
        s = feature_segments.c
        mine = s.name == of.declared.name
        newest = select(func.max(s.id)).where(mine).scalar_subquery()
        old = mine & (s.until < now - of.declared.history_seconds) & (s.id != newest)
        with self._engine.connect() as db:
            digests = db.execute(select(s.sha256).where(old)).scalars().all()
        for digest in digests:
            with transaction(self._engine) as db:
                db.execute(delete(feature_segments).where(mine, s.sha256 == digest))
            self._files.delete(_name(of.declared.name, digest))
        return len(digests)

    def note_uses(
        self, model: str, version: str, kind: str, sets: Sequence[SetHistory], now: float
    ) -> None:
        """Store that a version of a model has to do with sets; the first time counts.

        Args:
            model: name of the line.
            version: of the model.
            kind: ``trained`` or ``served``.
            sets: as they were opened.
            now: Unix seconds.
        """
        with transaction(self._engine) as db:
            for each in sets:
                use = FeatureUse(
                    model, version, each.declared.name, each.version, kind, each.fingerprint, now
                )
                insert_if_new(db, feature_uses, asdict(use))

    def uses(self, *, name: str | None = None, model: str | None = None) -> list[FeatureUse]:
        """Return who uses a set, or what a model uses, oldest first."""
        u = feature_uses.c
        query = select(feature_uses).order_by(u.at, u.model, u.version, u.name)
        query = query if name is None else query.where(u.name == name)
        query = query if model is None else query.where(u.model == model)
        with self._engine.connect() as db:
            return [FeatureUse(**row) for row in db.execute(query).mappings()]


@functools.lru_cache(maxsize=1_000)
def _parsed(text: str) -> FeatureSet:
    """Read a declaration once: the loop asks for all of them every second."""
    return parse_set(text)


def _file(segment: FeatureSegment) -> str:
    return _name(segment.name, segment.sha256)


def _name(name: str, sha256: str) -> str:
    return f"features/{name}/{sha256}.parquet"
