"""Sinks of messages that stand above telemetry: the hub passes them in."""

from __future__ import annotations

from typing import Protocol

from sqlalchemy import Connection

from edge_sdk.contract.messages import Body
from edge_sdk.contract.window import Window


class ArmCheck(Protocol):
    """Judge of the arm that a report is on."""

    def __call__(self, device: str, window: Window) -> None:
        """Refuse a window on an arm on which the device was not; raises Invalid.

        Args:
            device: sender of the report.
            window: that it reports.
        """


class FlagSink(Protocol):
    """Receiver of claims of devices that cannot be."""

    def __call__(self, device: str, model: str, kind: str, reason: str) -> None:
        """Note one.

        Args:
            device: sender of the message.
            model: that it serves.
            kind: of the claim.
            reason: of the refusal.
        """


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
