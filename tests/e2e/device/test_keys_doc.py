"""docs/KEYS.md is run: set up, a theft and its repair, a lost key, a year; a device follows."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cloud_hub.cli.main import main
from cloud_hub.client import AdminClient
from cloud_hub.registry.repository import Repository
from edge_sdk import EdgeDevice
from tests.e2e.device.online_thief import steal_and_use_once
from tests.e2e.live import PATIENT
from tests.edge.builders import make_release, rows
from tests.waiting import PATIENCE, wait_for

DOC = Path(__file__).parents[3] / "docs" / "KEYS.md"
MODEL = "lasting"


def commands() -> dict[str, list[list[str]]]:
    """The commands in the document's blocks, by the heading that they stand under."""
    found: dict[str, list[list[str]]] = {}
    heading = ""
    for part in re.split(r"^(## .+)$", DOC.read_text(), flags=re.MULTILINE):
        if part.startswith("## "):
            heading = part.removeprefix("## ")
        blocks = re.findall(r"```sh\n(.*?)```", part, re.DOTALL)
        lines = [shlex.split(line) for block in blocks for line in block.splitlines()]
        found.setdefault(heading, []).extend(lines)
    return found


@pytest.fixture
def do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Run the commands under a heading where ``hub-data`` and ``stick`` are."""
    monkeypatch.chdir(tmp_path)
    blocks = commands()

    def run(heading: str) -> None:
        assert blocks[heading]
        for program, *words in blocks.pop(heading):
            assert program == "edge-hub"
            assert main(words) == 0, words
        run.left = [h for h, lines in blocks.items() if lines]  # type: ignore[attr-defined]

    return run


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[], AdminClient]]:
    processes = []

    def start() -> AdminClient:
        command = [sys.executable, "-m", "cloud_hub.cli.main", "serve", "hub-data"]
        with (tmp_path / "hub.log").open("wb") as log:
            options = ["--port", "0", "--tick", "0.2"]
            processes.append(
                subprocess.Popen(command + options, cwd=tmp_path, stdout=log, stderr=log)
            )
        wait_for((tmp_path / "hub-data" / "hub.url").exists, "the hub's address")
        return AdminClient.of_data(tmp_path / "hub-data")

    yield start
    for process in processes:
        process.terminate()
        process.wait(PATIENCE)


def test_the_document_leads_from_theft_to_recovery(
    tmp_path: Path, do: Callable[[str], None], serve: Callable[[], AdminClient]
) -> None:
    data = tmp_path / "hub-data"
    do("Set up")
    assert not list((data / "keys").glob("offline*"))
    admin = serve()
    for version, seed in {"1.0": 0, "1.1": 1, "1.2": 2}.items():
        release = make_release(tmp_path / "made" / version, MODEL, version, seed=seed)
        admin.publish(release.folder, data / "keys" / "releases.pem", override="test")
    admin.post(f"models/{MODEL}/promote", version="1.0")
    token = admin.post("enrolment-tokens", model=MODEL, uses=1)["token"]
    device = EdgeDevice(
        tmp_path / "d", hub=admin.url, token=token, model=MODEL, config=PATIENT, background=False
    )
    with device:
        repository = Repository(data / "repository", data / "keys")
        steal_and_use_once(repository, MODEL, days_ahead=300)
        assert device.sync().plan == 2**53 - 1

        do("When the online key was stolen")

        wait_for(lambda: "plans/lasting.json" in plans(repository), "the hub's own plan")
        admin.post(f"models/{MODEL}/promote", version="1.1")
        assert device.sync().update == "activated"
        assert device.sync().plan in (None, 2)
        do("When the releases key was stolen")
        release = make_release(tmp_path / "made" / "1.3", MODEL, "1.3", seed=3)
        admin.publish(release.folder, data / "keys" / "releases.pem", override="test")
        do("Once a year: sign elsewhere")
        do("When an offline key was lost or stolen")
        do("When the clock was wrong")
        do("What happens by itself")
        wait_for(lambda: "plans/lasting.json" in plans(repository), "the hub's own plan")
        admin.post(f"models/{MODEL}/promote", version="1.3")
        assert device.sync().update == "activated"
        assert device.predict(rows(1)[0]).version == "1.3"
    assert do.left == []  # type: ignore[attr-defined]
    assert repository.files.version("root") == 5
    assert main(["health", "--data", str(data)]) == 0


def plans(repository: Repository) -> set[str]:
    return set(repository.files.newest("plans").signed.targets)
