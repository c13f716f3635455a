"""The log of syncs: the hub that goes and comes, and trouble once for as long as it lasts."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edge_sdk.contract.fleet import CheckIn
from edge_sdk.errors import HubError, HubUnreachable
from edge_sdk.hub.news import HubAdvice
from edge_sdk.hub.outbox import Outbox
from edge_sdk.state_db import StateDatabase
from edge_sdk.update.syncer import Syncer
from tests.clock import Clock


@dataclass
class Hub:
    """A hub whose answers a test decides; ``error`` is raised by every request."""

    error: HubError | None = None
    advice: HubAdvice = HubAdvice()

    def conversation(self) -> AbstractContextManager[None]:
        return nullcontext()

    def changed(self, etag: str | None, wait: int = 0) -> str | None:
        self._refuse()
        return None

    def checkin(self, checkin: CheckIn) -> None:
        self._refuse()

    def ask_again(self) -> None:
        return

    def _refuse(self) -> None:
        if self.error is not None:
            raise self.error


@pytest.fixture
def sync(tmp_path: Path) -> Any:
    store, hub, clock = StateDatabase(tmp_path), Hub(), Clock()
    unused: Any = None
    client: Any = hub
    syncer = Syncer(
        store, Outbox(store, "b1"), client, unused, {},
        describe=CheckIn, heartbeat=0.0, clock=clock,
    )  # fmt: skip

    def once(error: HubError | None = None, seconds: float = 0.0) -> Any:
        hub.error = error
        clock.now += seconds
        return syncer.once()

    yield once
    store.close()


def test_the_hub_that_goes_and_comes_is_logged_once_each(
    sync: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "edge_sdk"):
        sync()
        for _ in range(3):
            assert not sync(HubUnreachable("connection refused"), seconds=60).reached
        sync(seconds=60)
        sync()
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("INFO", "the hub is away: connection refused"),
        ("INFO", "the hub is back, after 180 s"),
    ]


def test_other_trouble_is_a_warning_until_it_changes(
    sync: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "edge_sdk"):
        for reason in ("403", "403", "500"):
            sync(HubError(reason))
    warned = [(r.levelname, r.getMessage()) for r in caplog.records]
    assert warned == [
        ("WARNING", f"sync: {part}: {reason}")
        for reason in ("403", "500")
        for part in ("plan", "checkin")
    ]
