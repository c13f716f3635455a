"""Of all workers of a hub one does the background work.

On SQLite there is one process, and a file's lock holds off another one. On PostgreSQL the leader
holds an advisory lock on a session of its own: a leader that is killed, or cut off from the
database, loses it at once. One that hangs keeps its session, so it also renews a lease
(:mod:`cloud_hub.database.lease`), and whoever finds that expired ends its sessions. Invariants:

* Each leadership has a term, a number that only grows.
* Whatever the leader's loop writes is written in transactions that hold the row of its term
  (:meth:`Leadership.fence`). A new term waits for their end, and a leader of an older term, however
  late it wakes up, writes nothing.
* What is killed with the leader is done again by the next one: every part of the loop reads from
  the database what is due.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Final, Protocol

from sqlalchemy import Column, Connection, Engine, Float, Integer, String, Table, select, text
from sqlalchemy.exc import SQLAlchemyError

from cloud_hub.database.engine import Whole, fenced, metadata, process_name
from cloud_hub.database.lease import (
    LEASE_SECONDS,
    RENEWALS,
    LeaderStatus,
    has_expired,
    is_skewed,
    may_try,
    skew,
    still_leads,
)
from cloud_hub.errors import LeadershipLost

log = logging.getLogger(__name__)

LEADER_KEY: Final = 0x6564_6766
"""Names the leader's advisory lock in PostgreSQL; any number that others do not use."""

LOCK_WAIT: Final = "1s"
"""Longest wait of a new leader for the last transaction of the one before; then it tries again."""

leadership_table = Table(
    "leadership",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("term", Whole, nullable=False),
    Column("holder", String, nullable=False),
    Column("renewed_at", Float, nullable=False),
)

_NOW = "extract(epoch FROM clock_timestamp())::float8"
_LOOK = text(f"SELECT holder, term, renewed_at, {_NOW} AS now FROM leadership WHERE id = 1")
_TRY = text("SELECT pg_try_advisory_lock(:key)")
_TAKE = text(
    "WITH mine AS (SELECT id FROM leadership WHERE id = 1 FOR UPDATE) "
    f"UPDATE leadership SET term = term + 1, holder = :holder, renewed_at = {_NOW} "
    "FROM mine WHERE leadership.id = mine.id RETURNING term"
)
_RENEW = text(
    f"UPDATE leadership SET renewed_at = {_NOW} WHERE id = 1 AND term = :term RETURNING renewed_at"
)
_END = text(
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
    "WHERE application_name = :holder AND pid <> pg_backend_pid()"
)


class Leadership(Protocol):
    """Says whether this process does the hub's background work."""

    def take(self) -> bool:
        """Lead, unless another worker does; return whether this one leads."""

    def holds(self) -> bool:
        """Return whether this worker may go on as the leader; asks nobody."""

    def fence(self) -> contextlib.AbstractContextManager[None]:
        """Let what is written within the block be refused if another worker leads by then."""

    def status(self) -> LeaderStatus:
        """Return what is known of the leader; asks nobody."""

    def close(self) -> None:
        """Let another worker lead."""


def open_leadership(engine: Engine, lock: Path) -> Leadership:
    """Return how the processes of a hub agree on one leader.

    Args:
        engine: of the hub's database.
        lock: file that the leader locks where the database is SQLite.
    """
    return FileLeadership(lock) if engine.dialect.name == "sqlite" else TermLeadership(engine)


class FileLeadership:
    """The leader is who holds the lock of a file; the system frees it however a process ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock: IO[bytes] | None = None

    def take(self) -> bool:
        """Take the lock, unless another process of the hub has it."""
        if self._lock is not None:
            return True
        file = self._path.open("wb")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return False
        self._lock = file
        return True

    def holds(self) -> bool:
        """Return whether this process has the lock."""
        return self._lock is not None

    def fence(self) -> contextlib.AbstractContextManager[None]:
        """Do nothing: nobody can take the lock from a process that lives."""
        return contextlib.nullcontext()

    def status(self) -> LeaderStatus:
        """Return whether this process leads."""
        return LeaderStatus(self.holds(), process_name() if self.holds() else "")

    def close(self) -> None:
        """Free the lock."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None


class TermLeadership:
    """The leader holds an advisory lock of PostgreSQL, a lease and a term.

    ``take``, ``fence`` and ``close`` are for one thread, the loop's.

    Args:
        engine: of the hub's database.
        clock: monotonic seconds.
        wall: Unix seconds, compared with the database's clock.
        lease: seconds after which a leader that hangs is replaced.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        lease: float = LEASE_SECONDS,
    ) -> None:
        self._engine, self._clock, self._wall, self._lease = engine, clock, wall, lease
        self._name = process_name()
        self._session: Connection | None = None
        self._renewed = 0.0
        self._term = 0  # 0: another worker leads, or nobody
        self._ended = threading.Event()
        self._renewing = threading.Thread()
        self._away = False
        self._not_before = 0.0
        self._status = LeaderStatus(False)

    def take(self) -> bool:
        """Lead, unless another worker does; a database that is away is a problem of the status."""
        if self.holds():
            return True
        if self._renewing.ident is not None:  # it led, and lost that
            self._drop()
        try:
            self._attempt(self._wall())
        except SQLAlchemyError as error:
            self._drop()
            self._away = True
            self._say(LeaderStatus(False, problem=f"the database does not answer: {_brief(error)}"))
        return self.holds()

    def holds(self) -> bool:
        """Return whether the term is this worker's, and renewed lately."""
        return self._term > 0 and still_leads(self._clock() - self._renewed, self._lease)

    @contextlib.contextmanager
    def fence(self) -> Iterator[None]:
        """Have each transaction within the block hold the row of this term until its end.

        Raises:
            LeadershipLost: out of a transaction that begins when another term has begun.
        """
        term = self._term

        def check(db: Connection) -> None:
            # KEY SHARE goes together with the renewals of the row, and not with a new term's lock.
            mine = select(leadership_table.c.term).where(leadership_table.c.term == term)
            if db.execute(mine.with_for_update(read=True, key_share=True)).first() is None:
                raise LeadershipLost(f"another worker leads by now; term {term} is over")

        with fenced(self._engine, check):
            yield

    def status(self) -> LeaderStatus:
        """Return what the last look at the database told."""
        return self._status

    def close(self) -> None:
        """End the session, which frees the lock: another worker leads at once."""
        self._drop()

    def _attempt(self, before: float) -> None:
        """Look who leads; take the lock where that is nobody, or somebody who hangs."""
        session = self._open_session()
        seen = session.execute(_LOOK).one()
        off, age = skew(before, seen.now, self._wall()), seen.now - seen.renewed_at
        problem = f"this machine's clock is {off:+.1f} s off the database's" * is_skewed(off)
        others = seen.renewed_at > 0 and seen.holder != self._name
        if others and has_expired(age, self._lease):
            ended = session.execute(_END, {"holder": seen.holder}).scalar()
            if ended:
                log.warning("the leader %s hangs; its %s sessions were ended", seen.holder, ended)
        self._leave_to(seen.holder)
        due = self._clock() >= self._not_before and may_try(age, off, self._lease)
        if due and session.execute(_TRY, {"key": LEADER_KEY}).scalar():
            asked = self._clock()
            self._term = int(session.execute(_TAKE, {"holder": self._name}).scalar_one())
            self._renewed = asked
            self._say(LeaderStatus(True, self._name, self._term, off, problem))
            self._renew_on_a_thread(session)
        else:
            self._say(LeaderStatus(False, seen.holder, seen.term, off, problem))

    def _leave_to(self, holder: str) -> None:
        """After a time without a database, let the worker that led before it be the first.

        What it has begun goes on then; another leader would begin that once more.
        """
        if self._away and holder != self._name:
            # That one finds out at its next renewal.
            self._not_before = self._clock() + 2 * self._lease / RENEWALS
        self._away = False

    def _open_session(self) -> Connection:
        if self._session is None:
            session = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            # Out of the pool: it must end with the leadership, and hold its lock till then.
            session.detach()
            session.execute(text(f"SET lock_timeout = '{LOCK_WAIT}'"))
            self._session = session
        return self._session

    def _renew_on_a_thread(self, session: Connection) -> None:
        self._ended = threading.Event()
        words = (session, self._term, self._ended)
        self._renewing = threading.Thread(
            target=self._renew, args=words, name="hub-lease", daemon=True
        )
        self._renewing.start()

    def _renew(self, session: Connection, term: int, ended: threading.Event) -> None:
        while not ended.wait(self._lease / RENEWALS):
            asked, before = self._clock(), self._wall()
            try:
                there = session.execute(_RENEW, {"term": term}).scalar()
            except SQLAlchemyError as error:
                there = None
                log.warning("the lease of term %d is not renewed; %s", term, _brief(error))
            if ended.is_set():
                return
            if there is None or not self.holds():
                # The loop's thread closes the session; until then nobody else needs it.
                self._term = 0
                return
            self._renewed = asked
            off = skew(before, there, self._wall())
            problem = f"this machine's clock is {off:+.1f} s off the database's" * is_skewed(off)
            self._say(LeaderStatus(True, self._name, term, off, problem))

    def _stop_renewing(self) -> None:
        self._ended.set()
        if self._renewing.is_alive():
            # A database that hangs may keep it; it is a daemon, and touches nothing any more.
            self._renewing.join(self._lease / RENEWALS)

    def _drop(self) -> None:
        """End the session, and with it the lock."""
        self._stop_renewing()
        self._renewing, self._term = threading.Thread(), 0
        session, self._session = self._session, None
        if session is not None:
            # It ends in any case; of one that has broken already the driver complains.
            with contextlib.suppress(Exception):
                session.close()

    def _say(self, status: LeaderStatus) -> None:
        if status.problem and not self._status.problem:
            log.warning("%s", status.problem)
        self._status = status


def _brief(error: Exception) -> str:
    cause: Any = getattr(error, "orig", None) or error
    return str(cause).partition("\n")[0][:200]
