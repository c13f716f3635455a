"""Sets of features: declared, filled, joined with labels, given to devices, compared.

Rows that were taken in reach devices with the next plan of each model that is declared to get them;
a hub that is killed in between does that at its next tick, and rows that a delay holds back are
given out when it is over.
"""

from __future__ import annotations

import contextvars
import functools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cloud_hub.deferred.libraries import pa
from cloud_hub.errors import Conflict, HubFault, NotFound
from cloud_hub.features.declaration import (
    FeatureSet,
    VersionedSet,
    check_beside,
    check_change,
    parse_set,
)
from cloud_hub.features.giving import Giving
from cloud_hub.features.history_store import FeatureHistory, FeatureSegment, FeatureUse
from cloud_hub.features.intake import taken
from cloud_hub.features.joining import join
from cloud_hub.features.point_in_time import JoinedRows
from cloud_hub.features.python_source import called_rows
from cloud_hub.features.row_files import write_parquet
from cloud_hub.features.set_history import uncorrected_rows
from cloud_hub.features.snapshot import read_sets, write_snapshot
from cloud_hub.features.sql_source import query_rows
from cloud_hub.registry.per_model import for_each
from cloud_hub.text.spelling import did_you_mean, listed

if TYPE_CHECKING:
    from cloud_hub.database.audit import Audit
    from cloud_hub.features.service import Features
    from cloud_hub.features.session_giving import SessionGiving
    from cloud_hub.isolation.workers import Workers
    from edge_sdk.contract.personal.session_features import SessionFeatures

log = logging.getLogger(__name__)

COMPUTED: Final = "computed"
"""Beginning of the source of rows that the declared query or function made."""

FILLED: Final = "filled in"
"""The same of rows that were made afterwards, for an earlier moment."""

RETRY_SECONDS: Final = 60.0
"""Whatever failed is tried again after that."""


@dataclass(frozen=True)
class SetStatus:
    """A set as it is.

    Attributes:
        ref: ``NAME@N``.
        declared: what was declared.
        rows: that are kept.
        bytes: of their files.
        since: moment of the first row, Unix seconds; ``None`` without rows.
        until: of the last.
        stale: True if even the newest row is older than the set declares as fresh.
        segments: files, newest first.
        uses: versions of models that were trained on it or served it.
    """

    ref: str
    declared: FeatureSet
    rows: int
    bytes: int
    since: float | None
    until: float | None
    stale: bool
    segments: tuple[FeatureSegment, ...]
    uses: tuple[FeatureUse, ...]


@dataclass(frozen=True)
class TakenRows:
    """Rows that were taken in; ``new`` is False if the same were there already, ``warnings`` say
    for which models they are of no use yet.
    """

    ref: str
    rows: int
    new: bool
    warnings: tuple[str, ...] = ()


class FeatureSets:
    """The sets of a hub.

    Args:
        data: folder of the hub, of which no source reads.
        history: sets and their rows.
        online: gives the newest values to devices.
        sessions: gives declared session features to devices.
        audit: where changes are noted.
        workers: call functions.
    """

    def __init__(
        self,
        data: Path,
        history: FeatureHistory,
        online: Features,
        sessions: SessionGiving,
        audit: Audit,
        workers: Workers,
    ) -> None:
        self._data = data
        self.history = history
        self.giving = Giving(history, online)
        self.sessions = sessions
        self._audit = audit
        self._workers = workers
        self._asked: dict[str, float] = {}
        self._failed: dict[str, tuple[float, Exception]] = {}
        self._thread = threading.Thread()

    def apply(self, text: str, *, actor: str) -> VersionedSet:
        """Declare a set, or change one.

        Raises:
            Invalid: the text declares none.
            Conflict: it contradicts the rows that are kept, or another set.
        """
        declared = parse_set(text)
        with self.history.alone():  # two that contradict each other could both be alone
            before = self.history.versions(declared.name)
            for each in before:
                check_change(each, declared)
            sets = [each.declared for each in self.history.sets()]
            check_beside(declared, [each for each in sets if each.name != declared.name])
            stored = self.history.declare(text, actor=actor, now=time.time())
        if stored.version > len(before):
            self._audit.record(actor, "features declared", None, {"set": stored.ref})
            log.info("features %s declared by %s", stored.ref, actor)
        if declared.session is not None:
            for model in {*declared.models, *(m for each in before for m in each.models)}:
                self.sessions.give(model)
        return stored

    def sessions_of(self, model: str) -> SessionFeatures | None:
        """Return the session features that a model's plan declares; ``None`` for none."""
        return self.sessions.declared(model)

    def named(self, name: str) -> VersionedSet:
        """Return the newest version of a set; raises NotFound with the names that exist."""
        sets = {each.declared.name: each for each in self.history.sets()}
        if name not in sets:
            known = f"this hub has {listed(list(sets))}" if sets else "none is declared yet"
            raise NotFound(
                f"{name}: no such set of features; {did_you_mean(name, list(sets))}{known}"
            )
        return sets[name]

    def of_model(self, model: str) -> list[VersionedSet]:
        """Return the sets whose rows a model gets."""
        return self.history.of_model(model)

    def sessions_named(self, name: str) -> SessionFeatures:
        """Return a set of sessions as devices get it; raises NotFound, Conflict."""
        of = self.named(name)
        if of.declared.session is None:
            raise Conflict(f"{name}: has rows; only sets with source: session are of sessions")
        return of.declared.sessions_at(of.version)

    def _with_rows(self, name: str) -> VersionedSet:
        """Return the newest version of a set that has rows; raises NotFound, Conflict."""
        of = self.named(name)
        if of.declared.session is not None:
            raise Conflict(
                f"{name}: is of sessions and has no rows: devices compute it, and for trainings "
                "edge-hub features join --events"
            )
        return of

    def entities(self) -> set[str]:
        """Return the names of columns that name an entity in some set."""
        return {each.declared.entity for each in self.history.sets()}

    def status(self, name: str, now: float | None = None) -> SetStatus:
        """Return a set as it is; raises NotFound."""
        of = self.named(name)
        segments = self.history.segments(name)
        until = max((each.until for each in segments), default=None)
        moment = time.time() if now is None else now
        return SetStatus(
            of.ref,
            of.declared,
            sum(each.rows for each in segments),
            sum(each.bytes for each in segments),
            min((each.since for each in segments), default=None),
            until,
            until is not None and moment - until > of.declared.freshness_seconds,
            tuple(reversed(segments)),
            tuple(self.history.uses(name=name)),
        )

    def take(
        self, name: str, rows: pa.Table, *, actor: str, source: str, at: float | None = None
    ) -> TakenRows:
        """Keep rows, and give the newest values to devices.

        Args:
            name: of the set.
            rows: with the columns that it declares.
            actor: who brings them.
            source: where they are from.
            at: moment of rows without a column of moments, Unix seconds; ``None``: they need one.

        Raises:
            NotFound: there is no such set.
            Invalid: the rows are none of it; nothing is kept.
            HubFault: the disk takes nothing; nothing is kept.
        """
        of, now = self._with_rows(name), time.time()
        table = taken(rows, of.declared, now=now, at=at)
        try:
            segment, new = self.history.add(of, table, source=source, actor=actor, now=now)
        except OSError as error:
            raise HubFault(f"{name}: the rows cannot be stored; {error.strerror}") from error
        if new:
            detail = {"set": of.ref, "rows": segment.rows, "source": source}
            self._audit.record(actor, "features taken", None, detail)
            log.info("features %s: %d rows from %s", of.ref, segment.rows, source)
        given = self.giving.give_all(of.declared.models, time.time()) if new else []
        return TakenRows(of.ref, segment.rows, new, tuple(given))

    def compute(self, name: str, *, actor: str, as_of: float | None = None) -> TakenRows:
        """Ask the source of a set for its rows.

        Args:
            name: of the set.
            actor: who asks.
            as_of: the moment for which they are made, Unix seconds; default now. An earlier one
                fills the history afterwards.

        Raises:
            NotFound: there is no such set.
            Conflict: it has no source.
            HubFault: the source fails, or what it makes is no row of the set; nothing is kept.
        """
        source = self._with_rows(name).declared.source
        if source is None:
            raise Conflict(f"{name}: declares no source; import its rows, or declare sql or python")
        moment = time.time() if as_of is None else as_of
        if source.sql is not None:
            rows = query_rows(source, moment, self._data)
        else:
            rows = called_rows(source, moment, self._workers)
        kind = "sql" if source.sql is not None else f"python {source.python}"
        how = COMPUTED if as_of is None else FILLED
        return self.take(name, rows, actor=actor, source=f"{how}: {kind}", at=moment)

    def join(
        self, labels: pa.Table, as_of: str, names: Sequence[str] = (), *, ages: bool = False
    ) -> JoinedRows:
        """Return labels with what serving would have had at their moments.

        Args:
            labels: with a column of the entity of each set.
            as_of: column of moments.
            names: of sets; default all whose entity is among the columns.
            ages: also how old the values were, in seconds.

        Raises:
            NotFound: there is no such set, or none for these columns.
            Invalid: the labels cannot be joined.
        """
        if names:
            sets = [self._with_rows(name) for name in names]
        else:
            known = [each for each in self.history.sets() if each.declared.session is None]
            sets = [each for each in known if each.declared.entity in labels.column_names]
        if not sets:
            raise NotFound(
                f"features: no set has one of the columns {labels.column_names} as its entity; "
                "those of sessions need their events: --events"
            )
        with self.history.opened(sets) as histories:
            joined = join(labels, histories, as_of, ages=ages)
        # With the file goes what it was made of, so that a model can say what it was trained on.
        lineage = " ".join(f"{each.ref}:{each.fingerprint}" for each in histories)
        table = joined.table.replace_schema_metadata({"features": lineage})
        return JoinedRows(table, joined.coverage)

    def export(self, name: str, file: Path) -> None:
        """Write the rows of a set to a Parquet file, with the names that it declares.

        Rows that were corrected later are left out.

        Raises:
            NotFound: there is no such set, or it has no rows.
            Invalid: the file cannot be written.
        """
        of = self._with_rows(name)
        with self.history.opened([of]) as (history,):
            if not history.files:
                raise NotFound(f"{name}: has no rows yet")
            write_parquet(pa.concat_tables(uncorrected_rows(history)), file)

    def write_snapshot(self, model: str, folder: Path, until: float) -> None:
        """Write the sets of a model, as they are now, into a folder that a worker reads.

        Args:
            model: name of the line; nothing is written if it has no set.
            folder: of the worker.
            until: Unix seconds: nothing is joined as of a later moment.
        """
        sets = [each for each in self.history.sets() if model in each.declared.models]
        if sets:
            with self.history.opened(sets, until=until) as histories:
                write_snapshot(folder, histories)

    def note_trained(self, model: str, version: str, folder: Path, refs: Sequence[str]) -> None:
        """Note that a version was trained on sets.

        Args:
            model: name of the line.
            version: of the model.
            folder: in which :meth:`write_snapshot` wrote what it was given.
            refs: of the sets that the training says it joined; it cannot name others.
        """
        joined = [each for each in read_sets(folder) if each.ref in refs]
        self.history.note_uses(model, version, "trained", joined, time.time())

    def tick(self, now: float) -> None:
        """Ask sources that are due, give out what devices lack, forget what is too old.

        Sources are asked on a thread of their own, one after the other: the loop waits for none.

        Raises:
            ExceptionGroup: it failed for some sets or models; the others had their turn.
        """
        sets = {each.declared.name: each for each in self.history.sets()}
        for_each(sets, lambda name: self.history.forget(sets[name], now))
        due = [name for name, each in sets.items() if self._is_due(each, now)]
        if due and not self._thread.is_alive():
            # In this context: what it writes is refused once another worker leads.
            words = (self._compute, due, now)
            self._thread = threading.Thread(
                target=contextvars.copy_context().run, args=words, daemon=True
            )
            self._thread.start()
        models = sorted({model for each in sets.values() for model in each.declared.models})
        try:
            for_each(
                models,
                lambda model: self._again(
                    f"model {model}", now, lambda: self.giving.give_new(model, now)
                ),
            )
            for_each(sets, self._raise_failed)
        finally:  # a table that cannot be given keeps no session's features waiting
            self.sessions.tick()

    def wait(self, seconds: float | None = None) -> None:
        """Wait for the sources that are being asked, at most so long; ``None`` for ever."""
        if self._thread.ident is not None:
            self._thread.join(seconds)

    def _compute(self, names: Sequence[str], now: float) -> None:
        for name in names:
            try:
                self._again(name, now, functools.partial(self.compute, name, actor="hub"))
                self._asked[name] = now
            except Exception as error:  # shown by the next tick, in the hub's health
                log.warning("features %s: %s", name, error)

    def _again(self, key: str, now: float, work: Callable[[], object]) -> None:
        """Do ``work``, unless it failed a moment ago: then raise what it raised."""
        failed = self._failed.get(key)
        if failed is not None and now - failed[0] < RETRY_SECONDS:
            raise failed[1].with_traceback(None)  # else it grows each time
        try:
            work()
        except Exception as error:
            self._failed[key] = (now, error)
            raise
        self._failed.pop(key, None)

    def _raise_failed(self, name: str) -> None:
        if name in self._failed:
            raise self._failed[name][1].with_traceback(None)

    def _is_due(self, of: VersionedSet, now: float) -> bool:
        source = of.declared.source
        if source is None or not source.every_seconds:
            return False
        # By the database: a hub that starts again goes on where the one before stopped.
        last = self.history.newest_of(of.declared.name, COMPUTED) or 0.0
        # And by what was asked: rows that were there already are not stored again.
        return now - max(last, self._asked.get(of.declared.name, 0.0)) >= source.every_seconds
