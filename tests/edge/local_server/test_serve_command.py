"""``edge serve`` as a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edge_sdk.cli.main import main
from edge_sdk.local_server.server import LocalServer
from edge_sdk.model.release import Release
from tests.edge.builders import rows
from tests.edge.local_server.asking import INFER, FrameClient, ask, row_request
from tests.edge.own_words import own_words
from tests.waiting import PATIENCE

SERVE = [sys.executable, "-m", "edge_sdk.cli.main", "serve"]


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_is_answers_and_ends_when_told(
    release: Release, tmp_path: Path, end: signal.Signals
) -> None:
    path = tmp_path / "e.sock"
    words = [*SERVE, str(release.folder), "--port", "0", "--socket", str(path)]
    # Tests that run in the background of a shell ignore SIGINT, and so would what they start.
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:  # fmt: skip
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        assert ask(url, INFER, row_request([1, 2, 3, 4]))[0] == 200
        client = FrameClient(path)
        assert client.row(rows(1)[0].tobytes())["source"] == "model"
        process.send_signal(end)
        out, err = process.communicate(timeout=PATIENCE)
        client.close()
    assert (process.returncode, out, own_words(err)) == (0, "", "")
    assert not path.exists()


def test_what_cannot_be_served_is_said_in_a_sentence(
    release: Release, server: LocalServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port = server.url.rpartition(":")[2]
    assert main(["serve", str(release.folder), "--port", port]) == 1
    assert "choose another port" in capsys.readouterr().err
    for folders, why in (
        ([tmp_path, release.folder], "expected a release folder"),
        ([release.folder, tmp_path], "expected a release folder with"),
        ([release.folder, release.folder], "a release of demo already"),
    ):
        assert main(["serve", *map(str, folders), "--port", "0"]) == 1
        assert why in capsys.readouterr().err
    assert main(["serve", str(tmp_path), "--port", "0"]) == 1
    assert "no device is enrolled here" in capsys.readouterr().err
