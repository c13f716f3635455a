"""Serving a folder: one process at a time, and again at once after it was killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cloud_hub.claim import sole_server
from cloud_hub.cli import main
from cloud_hub.errors import Conflict
from tests.servers import HubProcess
from tests.waiting import PATIENCE


def serve(data: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cloud_hub.cli", "serve", str(data), "--port", "0"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_a_folder_that_is_served_is_refused_with_who_serves_it(hub: HubProcess) -> None:
    address = (hub.data / "hub.url").read_text()
    done = serve(hub.data)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"edge-hub: {hub.data}: is served already by process {hub.pid} at {address}; end it first\n"
    )
    assert (hub.data / "hub.url").read_text() == address
    assert main(["models", "--data", str(hub.data)]) == 0


def test_a_hub_that_was_killed_serves_again_at_once(hub: HubProcess) -> None:
    first = hub.pid
    hub.kill()
    hub.start()
    assert hub.admin.get("health")["ok"]
    assert serve(hub.data).stderr.count(f"process {hub.pid} ") == 1
    assert hub.pid != first


def test_a_folder_is_claimed_until_the_block_ends(tmp_path: Path) -> None:
    with sole_server(tmp_path) as note:
        with pytest.raises(Conflict, match=r"by process \d+; end it first"), sole_server(tmp_path):
            pass
        note("http://hub:1")
        with pytest.raises(Conflict, match="at http://hub:1; "), sole_server(tmp_path):
            pass
    with sole_server(tmp_path):
        pass
