"""The hub's data belongs to its user alone."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_hub.hub import Hub, initialise, open_hub
from cloud_hub.settings import Settings


@pytest.fixture(autouse=True)
def generous_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_hub_is_its_owners_databases_keys_and_token_included(tmp_path: Path) -> None:
    settings = Settings(tmp_path / "hub", tick_seconds=0)
    initialise(settings)
    hub = open_hub(settings)
    hub.packs._database().close()
    hub.audit.record("ann", "looks", None)
    data = settings.data
    assert [mode(data), mode(data / "keys")] == [0o700] * 2
    secrets = [data / "admin.token", *data.glob("keys/*"), *data.glob("*.db*")]
    assert {p.name for p in secrets} >= {"hub.db", "hub.db-wal", "hub.db-shm", "predictions.db"}
    assert {p.name: oct(mode(p)) for p in secrets if mode(p) & 0o077} == {}
    hub.close()


def test_a_hub_that_others_could_read_is_made_private_when_it_is_opened_and_says_so(
    inner: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    data = inner.settings.data
    opened = [data, data / "keys", data / "hub.db", data / "admin.token"]
    for path in opened:
        path.chmod(0o755)
    with caplog.at_level(logging.WARNING, "cloud_hub"):
        open_hub(inner.settings).close()
    assert [mode(path) & 0o077 for path in opened] == [0] * 4
    assert caplog.messages[0] == (f"{data}: others could read it (mode 755); it is 700 now")
    assert len(caplog.messages) >= 4
