"""Storing checked messages: all in one transaction, or, where one cannot be stored, each alone.

Checks refuse what is known to do harm. What they missed must not stand between a device and every
later message of it: the one that fails is refused, and logged, and the others count.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DisconnectionError, InterfaceError, OperationalError

from cloud_hub.errors import Invalid
from edge_sdk.contract.messages import Message, Rejection

log = logging.getLogger(__name__)

T = TypeVar("T")

NOT_ITS_FAULT = (OperationalError, InterfaceError, DisconnectionError, OSError, MemoryError)
"""The database is away, locked or full: the device sends all of it again."""


REASON: Final = 300
"""Characters of a reason that a device is told."""


class Stored(NamedTuple):
    """Number of messages that were new, and those that could not be stored."""

    accepted: int
    refused: tuple[Rejection, ...]


def store_each(
    engine: Engine,
    received: Sequence[T],
    store: Callable[[Connection, T], bool],
    *,
    message_of: Callable[[T], Message],
) -> Stored:
    """Store messages that were checked.

    Args:
        engine: of the database.
        received: messages with what was read of them, in order.
        store: stores one, and returns whether it was new; raises Invalid, before it writes, if it
            may not be stored beside what is there.
        message_of: the message of one of ``received``.

    Raises:
        SQLAlchemyError: the database cannot be used; nothing of the last transaction is stored.
    """
    try:
        with engine.begin() as db:
            return _store(db, received, store, message_of)
    except NOT_ITS_FAULT:
        raise
    except Exception:
        log.warning("an upload is stored message by message: one of it cannot be", exc_info=True)
    accepted = 0
    refused: list[Rejection] = []
    for each in received:
        try:
            with engine.begin() as db:
                one = _store(db, [each], store, message_of)
        except NOT_ITS_FAULT:
            raise
        except Exception as error:
            reason = f"the hub cannot store it; {type(error).__name__}"
            one = Stored(0, (_rejection(message_of(each), reason),))
        accepted += one.accepted
        refused += one.refused
    return Stored(accepted, tuple(refused))


def _store(
    db: Connection,
    received: Sequence[T],
    store: Callable[[Connection, T], bool],
    message_of: Callable[[T], Message],
) -> Stored:
    """Store messages in one transaction; ``store`` raises Invalid only before it writes."""
    accepted = 0
    refused: list[Rejection] = []
    for each in received:
        try:
            accepted += store(db, each)
        except Invalid as error:
            refused.append(_rejection(message_of(each), str(error)))
    return Stored(accepted, tuple(refused))


def _rejection(message: Message, reason: str) -> Rejection:
    return Rejection(message.boot, message.sequence, reason[:REASON])
