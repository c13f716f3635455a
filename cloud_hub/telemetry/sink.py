"""Sinks of messages that stand above telemetry: the hub passes them in."""

from __future__ import annotations

from typing import Protocol

from sqlalchemy import Connection

from edge_sdk.contract.messages import Body


class ExposureSink(Protocol):
    """Receiver of what a message says of an experiment.

    It is called in the transaction that stores the message, so that a message counts exactly once.
    """

    def __call__(self, db: Connection, device: str, body: Body) -> None:
        """Add the counts of a message; one of no experiment changes nothing.

        Args:
            db: transaction that stores the message.
            device: sender of the message.
            body: the message.
        """
