"""What became of an upload, and how a refusal is told."""

from __future__ import annotations

from typing import Final, NamedTuple

from cloud_hub.errors import Implausible
from edge_sdk.contract.messages import Message, Rejection

REASON: Final = 300
"""Characters of a reason that a device is told."""


class Stored(NamedTuple):
    """Number of messages that were new, those that were not stored, and claims that cannot be, each
    with the model that it is about.
    """

    accepted: int
    refused: tuple[Rejection, ...]
    implausible: tuple[tuple[str, Implausible], ...] = ()

    def __add__(self, other: Stored) -> Stored:  # type: ignore[override]
        accepted = self.accepted + other.accepted
        refused, implausible = self.refused + other.refused, self.implausible + other.implausible
        return Stored(accepted, refused, implausible)


def rejection(message: Message, reason: str) -> Rejection:
    """Return the refusal of a message, with as much of the reason as a device is told."""
    return Rejection(message.boot, message.sequence, reason[:REASON])
