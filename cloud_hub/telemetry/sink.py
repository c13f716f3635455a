"""Sinks of messages that stand above telemetry: the hub passes them in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from sqlalchemy import Connection

from cloud_hub.errors import FlagKind
from cloud_hub.telemetry.sender import Sender
from edge_sdk.contract.messages import Body


class ExposureSink(Protocol):
    """Receiver of what messages say of experiments."""

    def begin(self, db: Connection, senders: Sequence[Sender]) -> TransactionExposures:
        """Begin to take uploads.

        Args:
            db: transaction that is to store their messages.
            senders: devices that sent them.
        """


class TransactionExposures(Protocol):
    """Receiver of what all uploads of one transaction say of experiments."""

    def of(self, sender: Sender) -> UploadExposures:
        """Return who takes the uploads of one of the devices."""

    def write(self) -> None:
        """Store what was recorded: nothing was before."""


class UploadExposures(Protocol):
    """Receiver of what the messages of one upload say of experiments.

    It works in the transaction that stores them, so that a message counts exactly once, and as the
    plans of that moment say.
    """

    def counts(self, body: Body) -> bool:
        """Return whether a message counts for the experiment that it names.

        One of no experiment does, for nothing.

        Raises:
            Implausible: no plan of the hub gave the device the arm that it speaks for.
        """

    def record(self, body: Body) -> None:
        """Note the counts of a message; one of no experiment changes nothing."""


class FlagSink(Protocol):
    """Receiver of flags."""

    def __call__(
        self, device: str, model: str, reasons: Mapping[FlagKind, Sequence[str]], now: float
    ) -> None:
        """Flag a device.

        Args:
            device: its name.
            model: that the messages spoke of.
            reasons: by kind one for each message, for people.
            now: Unix seconds.
        """
