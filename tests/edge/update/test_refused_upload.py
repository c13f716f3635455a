"""One message that a hub, or a proxy before it, refuses to read: the others are delivered."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edge_sdk.contract.fleet import CheckIn
from edge_sdk.contract.messages import KeyVotes, Upload, UploadReply
from edge_sdk.errors import HubError
from edge_sdk.hub.news import HubAdvice
from edge_sdk.hub.outbox import Outbox
from edge_sdk.state_db import StateDatabase
from edge_sdk.update.syncer import Syncer, SyncResult
from tests.clock import Clock

POISON = 37
"""Period of the message that is refused."""


@dataclass
class Hub:
    """Refuses whole each upload that holds the poison, with ``status``."""

    status: int | None
    uploads: int = 0
    taken: list[int] = field(default_factory=list)
    advice: HubAdvice = HubAdvice()

    def upload(self, upload: Upload) -> UploadReply:
        self.uploads += 1
        periods = [message.body["period"] for message in upload.messages]
        if POISON in periods:
            raise HubError("the hub answered", self.status)
        self.taken += periods
        return UploadReply(len(periods), 0)

    def conversation(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def ask_again(self) -> None:
        return None

    def changed(self, etag: str | None, wait: int = 0) -> str | None:
        return None

    def checkin(self, checkin: CheckIn) -> None:
        return None


Synced = Callable[[int | None], tuple[Hub, Outbox, SyncResult]]


@pytest.fixture
def synced(tmp_path: Path) -> Iterator[Synced]:
    store = StateDatabase(tmp_path)
    yield lambda status: _synced(store, status)
    store.close()


def _synced(store: StateDatabase, status: int | None) -> tuple[Hub, Outbox, SyncResult]:
    hub = Hub(status)
    unused: Any = None
    client: Any = hub
    outbox = Outbox(store, "b1")
    outbox.put([KeyVotes("demo", "1.0", period, ()) for period in range(100)])
    syncer = Syncer(
        store, outbox, client, unused, {},
        describe=CheckIn, heartbeat=0.0, clock=Clock(),
    )  # fmt: skip
    return hub, outbox, syncer.once()


@pytest.mark.parametrize("status", [413, 422])
def test_the_one_message_is_found_and_dropped_and_counted(
    synced: Synced, status: int | None
) -> None:
    hub, outbox, result = synced(status)
    assert (hub.taken, result.errors) == ([p for p in range(100) if p != POISON], {})
    assert (outbox.waiting(), dict(outbox.take_lost())) == (0, {"rejected": 1})
    assert result.sent == 99


@pytest.mark.parametrize("status", [None, 401, 403, 404, 429, 500, 502, 503])
def test_other_refusals_lose_nothing(synced: Synced, status: int | None) -> None:
    hub, outbox, result = synced(status)
    assert (hub.uploads, outbox.waiting(), set(result.errors)) == (1, 100, {"reports"})
