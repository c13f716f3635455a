"""Serving a folder: one process at a time, and again at once after it was killed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from cloud_hub.cli.main import main
from cloud_hub.database.serve_lock import sole_server
from cloud_hub.errors import Conflict, HubFault
from cloud_hub.hub import initialise, open_hub
from cloud_hub.server import _listen
from cloud_hub.server import serve as embedded_serve
from cloud_hub.settings import Settings
from tests.servers import HubProcess
from tests.waiting import PATIENCE


def serve(data: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cloud_hub.cli.main", "serve", str(data), "--port", "0"],
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


DAMAGED = {
    "no folder at all": ("", "holds no hub; run edge-hub init"),
    "a repository that is not whole": ("repository/metadata/timestamp.json", "holds no hub"),
    "no token of the administrator": ("admin.token", "admin.token: expected the administrator's"),
    "no key to sign with": (
        "keys/online.pem",
        "online.pem: expected a private key in PEM; No such",
    ),
    "no root": ("repository/metadata/1.root.json", "1.root.json: expected signed metadata, it is"),
    "no list of releases": ("repository/metadata/1.releases.json", "missing or damaged; restore"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_hub_that_is_not_whole_is_not_served(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    name, reason = DAMAGED[case]
    data = tmp_path / "h"
    initialise(Settings(data))
    (data / name).unlink() if name else shutil.rmtree(data)
    assert main(["serve", str(data), "--port", "0"]) == 1
    printed = capsys.readouterr()
    assert reason in printed.err
    assert (printed.err.count("\n"), printed.out) == (1, "")
    assert not (data / "hub.url").exists()


def test_metadata_that_is_none_is_told_by_its_file(tmp_path: Path) -> None:
    data = tmp_path / "h"
    initialise(Settings(data))
    (data / "repository" / "metadata" / "1.releases.json").write_text("x")
    with pytest.raises(HubFault, match=r"1\.releases\.json: expected signed metadata"):
        open_hub(Settings(data))


def test_an_initialisation_that_was_interrupted_is_done_again(tmp_path: Path) -> None:
    data = tmp_path / "h"
    initialise(Settings(data))
    (data / "repository" / "metadata" / "timestamp.json").unlink()  # it is written last
    (data / "admin.token").unlink()
    initialise(Settings(data))
    open_hub(Settings(data)).close()
    token = (data / "admin.token").read_bytes()
    with pytest.raises(Conflict, match="holds a repository already"):
        initialise(Settings(data))
    assert (data / "admin.token").read_bytes() == token


def test_answers_do_not_wait_for_acknowledgements() -> None:
    """Accepted sockets inherit it; without it each answer of two packets took 40 ms longer."""
    with _listen(Settings(Path("unused"), port=0)) as listener:
        assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


def test_a_program_that_embeds_a_server_keeps_the_permissions_of_its_own_files(
    tmp_path: Path,
) -> None:
    initialise(Settings(tmp_path / "data"))
    before = os.umask(0o022)
    try:
        with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(HubFault):
            embedded_serve(Settings(tmp_path / "data", port=taken.getsockname()[1]))
        (tmp_path / "own").touch()
    finally:
        os.umask(before)
    assert (tmp_path / "own").stat().st_mode & 0o777 == 0o644
