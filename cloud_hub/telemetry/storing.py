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

from cloud_hub.errors import Implausible
from edge_sdk.contract.messages import Message, Rejection

log = logging.getLogger(__name__)

T = TypeVar("T")

NOT_ITS_FAULT = (OperationalError, InterfaceError, DisconnectionError, OSError, MemoryError)
"""The database is away, locked or full: the device sends all of it again."""


REASON: Final = 300
"""Characters of a reason that a device is told."""


class Stored(NamedTuple):
    """Number of messages that were new, those that were not stored, and claims that cannot be."""

    accepted: int
    refused: tuple[Rejection, ...]
    implausible: tuple[Implausible, ...] = ()

    def __add__(self, other: Stored) -> Stored:  # type: ignore[override]
        accepted = self.accepted + other.accepted
        refused, implausible = self.refused + other.refused, self.implausible + other.implausible
        return Stored(accepted, refused, implausible)


def store_each(
    engine: Engine,
    received: Sequence[T],
    store: Callable[[Connection, Sequence[T]], Stored],
    *,
    message_of: Callable[[T], Message],
) -> Stored:
    """Store messages that were checked.

    Args:
        engine: of the database.
        received: messages with what was read of them, in order.
        store: stores some in a transaction; refuses those that may not be stored beside what is
            there before it writes anything of them.
        message_of: the message of one of ``received``.

    Raises:
        SQLAlchemyError: the database cannot be used; nothing of the last transaction is stored.
    """
    try:
        with engine.begin() as db:
            return store(db, received)
    except NOT_ITS_FAULT:
        raise
    except Exception:
        log.warning("an upload is stored message by message: one of it cannot be", exc_info=True)
    stored = Stored(0, ())
    for each in received:
        try:
            with engine.begin() as db:
                stored += store(db, [each])
        except NOT_ITS_FAULT:
            raise
        except Exception as error:
            reason = f"the hub cannot store it; {type(error).__name__}"
            stored += Stored(0, (rejection(message_of(each), reason),))
    return stored


def rejection(message: Message, reason: str) -> Rejection:
    """Return the refusal of a message, with as much of the reason as a device is told."""
    return Rejection(message.boot, message.sequence, reason[:REASON])
