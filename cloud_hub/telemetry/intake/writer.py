"""The writer of uploads: those that wait are stored in one transaction, and then answered.

Invariants:

* An upload is answered when the transaction that holds it is on disk, and not before.
* What waits is bounded in number and in bytes: whoever comes beyond that is told to come again.
* One that cannot be stored costs no other: then each is stored by itself, and of the one that fails
  each message.

Each way to store has a thread; SQLite has one writer, so it has one. While it waits for the disk
other uploads arrive, and go into its next transaction: one wait for the disk is for all of them.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, OperationalError

from cloud_hub.errors import Unavailable
from cloud_hub.telemetry.storing import Stored, rejection

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from cloud_hub.telemetry.intake.opening import OpenedMessages

log = logging.getLogger(__name__)

Store: TypeAlias = "Callable[[Connection, Sequence[OpenedMessages]], list[Stored]]"
Outcome: TypeAlias = Stored | BaseException

NOT_ITS_FAULT: Final = (
    OperationalError, InterfaceError, DisconnectionError, OSError, MemoryError,
)  # fmt: skip
"""The database is away, locked or full: the device sends all of it again."""

IN_EACH_OTHERS_WAY: Final = frozenset({"40001", "40P01"})
"""PostgreSQL's codes for a transaction that it gave up for another's sake."""

ATTEMPTS: Final = 5

AGAIN_SECONDS: Final = 5.0
"""After which a device that was not listened to may come again."""

STOP_SECONDS: Final = 30.0
"""To store what waits when the hub ends."""


@dataclass(frozen=True)
class WriterLimits:
    """Bounds of what waits and of one transaction.

    Attributes:
        uploads: that wait at most.
        waiting_bytes: of what they were sent as, likewise.
        messages: in one transaction, unless one upload alone has more.
    """

    uploads: int = 2_000
    waiting_bytes: int = 64 << 20
    messages: int = 512


@dataclass(frozen=True)
class _WaitingUpload:
    """An upload that waits, and who waits for it: a thread, or a task of an event loop."""

    upload: OpenedMessages
    size: int
    future: Future[Stored] | asyncio.Future[Stored]
    loop: asyncio.AbstractEventLoop | None = None


class UploadWriter:
    """Stores uploads, many in one transaction.

    Args:
        engine: of the database.
        stores: each stores uploads in a transaction that it is given, one after the other.
        limits: of what waits.
    """

    def __init__(
        self, engine: Engine, stores: Sequence[Store], limits: WriterLimits | None = None
    ) -> None:
        self._engine, self._stores = engine, stores
        self._limits = limits or WriterLimits()
        self._waiting: deque[_WaitingUpload] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._closed = False
        self.problem = ""
        """Why the newest uploads were not stored; empty if they were."""

    def put(self, upload: OpenedMessages, size: int = 0) -> Stored:
        """Store an upload, and return what became of it once that is on disk.

        Args:
            upload: messages that make sense by themselves.
            size: bytes as which they came.

        Raises:
            Unavailable: too much waits, or the database cannot be used; nothing is stored.
        """
        future: Future[Stored] = Future()
        self._append(_WaitingUpload(upload, size, future))
        return future.result()

    async def put_async(self, upload: OpenedMessages, size: int) -> Stored:
        """As :meth:`put`, in an event loop."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Stored] = loop.create_future()
        self._append(_WaitingUpload(upload, size, future, loop))
        return await future

    def stop(self) -> None:
        """Store what waits, and take no more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(STOP_SECONDS)

    def _append(self, waiting: _WaitingUpload) -> None:
        with self._changed:
            self._check_room(waiting.size)
            self._waiting.append(waiting)
            self._bytes += waiting.size
            if not self._threads:
                self._start()
            self._changed.notify()

    def _check_room(self, size: int) -> None:
        if self._closed:
            raise Unavailable("this hub is ending; send it again", AGAIN_SECONDS)
        count, limits = len(self._waiting), self._limits
        if count and (count >= limits.uploads or self._bytes + size > limits.waiting_bytes):
            reason = f"{count} uploads of {self._bytes} bytes wait to be stored; send it again"
            raise Unavailable(reason, AGAIN_SECONDS)

    def _start(self) -> None:
        for store in self._stores:
            # A daemon: a hub that does not end in time must not be kept by its database.
            thread = threading.Thread(target=self._run, args=(store,), name="uploads", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self, store: Store) -> None:
        work = _StoringWork(self._engine, store)
        while taken := self._take():
            outcomes = work.outcomes([waiting.upload for waiting in taken])
            self.problem = _problem_of(outcomes)
            _tell(list(zip(taken, outcomes, strict=True)))

    def _take(self) -> list[_WaitingUpload]:
        """Wait for uploads, and take those of the next transaction; none when it is over."""
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            taken: list[_WaitingUpload] = []
            messages = 0
            while self._waiting and messages < self._limits.messages:
                taken.append(self._waiting.popleft())
                messages += len(taken[-1].upload.received)
                self._bytes -= taken[-1].size
            return taken


class _StoringWork:
    """One thread's way to store: together, or each alone.

    Args:
        engine: of the database.
        store: stores uploads in a transaction that it is given.
    """

    def __init__(self, engine: Engine, store: Store) -> None:
        self._engine, self._store = engine, store

    def outcomes(self, uploads: Sequence[OpenedMessages]) -> Sequence[Outcome]:
        """Store uploads together, or each alone where that fails; nothing is raised."""
        try:
            return self._committed(uploads)
        except NOT_ITS_FAULT as error:
            if not _in_the_way(error):
                return [_unavailable(error)] * len(uploads)
        except Exception:
            log.warning("uploads are stored one by one: one of them cannot be", exc_info=True)
        return [self._alone(upload) for upload in uploads]

    def _alone(self, upload: OpenedMessages) -> Outcome:
        try:
            return self._tried(upload)
        except NOT_ITS_FAULT as error:
            return _unavailable(error)
        except Exception:
            log.warning("an upload is stored message by message", exc_info=True)
        stored = Stored(0, ())
        for each in upload.received:
            try:
                stored += self._tried(upload._replace(received=[each]))
            except NOT_ITS_FAULT as error:
                return _unavailable(error)
            except Exception as error:
                reason = f"the hub cannot store it; {type(error).__name__}"
                stored += Stored(0, (rejection(each.message, reason),))
        return stored

    def _tried(self, upload: OpenedMessages) -> Stored:
        for _ in range(ATTEMPTS - 1):
            try:
                return self._committed([upload])[0]
            except OperationalError as error:
                if not _in_the_way(error):
                    raise
        return self._committed([upload])[0]

    def _committed(self, uploads: Sequence[OpenedMessages]) -> list[Stored]:
        with self._engine.begin() as db:
            return self._store(db, uploads)


def _in_the_way(error: BaseException) -> bool:
    code = getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None
    return code in IN_EACH_OTHERS_WAY


def _unavailable(error: BaseException) -> Unavailable:
    log.error("uploads are not stored, and will be sent again: %s", error)
    made = Unavailable("the database takes nothing now; send it again", AGAIN_SECONDS)
    made.__cause__ = error
    return made


def _problem_of(outcomes: Sequence[Outcome]) -> str:
    """Return why some of the uploads were not stored, in a line; empty if all were."""
    refused = next((each for each in outcomes if isinstance(each, Unavailable)), None)
    if refused is None:
        return ""
    cause = getattr(refused.__cause__, "orig", None) or refused.__cause__
    return str(cause).partition("\n")[0]


def _tell(outcomes: Sequence[tuple[_WaitingUpload, Outcome]]) -> None:
    """Wake whoever waits; an event loop once for all of its tasks."""
    loops: dict[Any, list[tuple[_WaitingUpload, Outcome]]] = defaultdict(list)
    for waiting, outcome in outcomes:
        loops[waiting.loop].append((waiting, outcome))
    for loop, theirs in loops.items():
        if loop is None:
            _settle(theirs)
        elif not loop.is_closed():
            loop.call_soon_threadsafe(_settle, theirs)


def _settle(outcomes: Sequence[tuple[_WaitingUpload, Outcome]]) -> None:
    for waiting, outcome in outcomes:
        future = waiting.future
        if future.done():  # whoever asked has hung up
            continue
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
