"""Sinks of messages that stand above telemetry: the hub passes them in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from sqlalchemy import Connection

from cloud_hub.errors import FlagKind
from edge_sdk.contract.messages import Body


class ExposureSink(Protocol):
    """Receiver of what a message says of an experiment.

    Both methods are called in the transaction that stores the message, so that a message counts
    exactly once, and as the plans of that moment say.
    """

    def counts(self, db: Connection, device: str, model: str, body: Body) -> bool:
        """Return whether a message counts for the experiment that it names.

        One of no experiment does, for nothing.

        Args:
            db: transaction that is to store the message.
            device: sender of the message.
            model: that the device belongs to.
            body: the message.

        Raises:
            Implausible: no plan of the hub gave the device the arm that it speaks for.
        """

    def record(self, db: Connection, device: str, body: Body) -> None:
        """Add the counts of a message; one of no experiment changes nothing.

        Args:
            db: transaction that stores the message.
            device: sender of the message.
            body: the message.
        """


class FlagSink(Protocol):
    """Receiver of flags."""

    def __call__(
        self, device: str, model: str, reasons: Mapping[FlagKind, Sequence[str]], now: float
    ) -> None:
        """Flag a device.

        Args:
            device: its name.
            model: that it belongs to.
            reasons: by kind one for each message, for people.
            now: Unix seconds.
        """
