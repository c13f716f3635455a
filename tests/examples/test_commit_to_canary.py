"""From a commit to a canary on devices: a bare repository whose hook is the CI service."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from edge_sdk import EdgeDevice
from tests.examples.test_ci import FOLDER
from tests.processes.ready import ready_commands
from tests.servers import HubProcess
from tests.waiting import PATIENCE, wait_for


class Repository:
    """A bare repository with the hook of the example, and a clone in which somebody works."""

    def __init__(self, hub: HubProcess, folder: Path) -> None:
        self._bare, self.clone = folder / "wine.git", folder / "clone"
        self._environment = {
            **os.environ,
            "PATH": f"{ready_commands()}:{os.environ['PATH']}",
            "EDGE_HUB_URL": hub.url,
            "EDGE_HUB_TOKEN": (hub.data / "admin.token").read_text(),
            "RELEASES_KEY": hub.key.read_text(),
            "GIT_CONFIG_GLOBAL": os.devnull,
            **{f"GIT_{who}_{what}": "a@b.c" for who in ("AUTHOR", "COMMITTER")
               for what in ("NAME", "EMAIL")},
        }  # fmt: skip
        self.git(folder, "init", "-q", "--bare", "--initial-branch=main", str(self._bare))
        shutil.copy(FOLDER / "pre-receive", self._bare / "hooks" / "pre-receive")
        shutil.copytree(FOLDER, self.clone, ignore=shutil.ignore_patterns("__pycache__"))
        self.git(self.clone, "init", "-q", "--initial-branch=main")
        self.git(self.clone, "remote", "add", "origin", str(self._bare))

    def git(self, where: Path, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["git", *words], cwd=where, env=self._environment, capture_output=True, text=True,
            timeout=PATIENCE, check=False,
        )  # fmt: skip

    def edit(self, name: str, before: str, after: str) -> None:
        path = self.clone / name
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after))

    def push(self) -> subprocess.CompletedProcess[str]:
        """Commit everything and push it; the output has what the hook said."""
        self.git(self.clone, "add", "-A")
        assert self.git(self.clone, "commit", "-qm", "a change").returncode == 0
        return self.git(self.clone, "push", "-q", "origin", "main")

    def take_back(self) -> None:
        self.git(self.clone, "reset", "-q", "--hard", "HEAD~1")

    @property
    def main(self) -> str:
        return self.git(self._bare, "rev-list", "--count", "main").stdout.strip()


def break_the_policy(repository: Repository) -> None:
    repository.edit("policy.yaml", "strategy: canary", "strategy: canari")


def break_the_code(repository: Repository) -> None:
    repository.edit("train.py", "StandardScaler(), ", "StandardScalar(), ")


def break_the_data(repository: Repository) -> None:
    path = repository.clone / "wine.csv"
    table = pd.read_csv(path)
    table.insert(0, "answer", table["cultivar"] * 2.0)  # a feature that equals the label
    table.to_csv(path, index=False)
    held = repository.clone / "holdout.csv"
    other = pd.read_csv(held)
    other.insert(0, "answer", 0.0)
    other.to_csv(held, index=False)
    repository.edit("test_train.py", "0.7", "0.0")


def break_the_model(repository: Repository) -> None:
    """It passes its tests, but loses what the serving version can."""
    repository.edit("train.py", "LogisticRegression()", "LogisticRegression(C=0.0005)")
    repository.edit("test_train.py", "0.7", "0.0")


REFUSED = {
    "policy": (break_the_policy, "== Policy", "canari"),
    "tests": (break_the_code, "== Tests", "StandardScalar"),
    "data": (break_the_data, "== Data", "label_leak"),
    "gate": (break_the_model, "== Sign and publish", "forgetting"),
}


@pytest.fixture
def repository(hub: HubProcess, tmp_path: Path) -> Repository:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    folder = tmp_path / "repositories"
    folder.mkdir()
    made = Repository(hub, folder)
    # The gate is asked twice here: its 60 rows show less of the second candidate.
    made.edit("policy.yaml", "max_forgetting: 0.1 ", "max_forgetting: 0.2 ")
    return made


@pytest.fixture
def delivered(repository: Repository) -> Repository:
    """The first commit is delivered; what it delivers serves."""
    first = repository.push()
    assert first.returncode == 0, first.stderr
    return repository


@pytest.fixture
def fleet(hub: HubProcess, delivered: Repository, tmp_path: Path) -> Iterator[list[EdgeDevice]]:
    """Three devices, the fewest on which a canary decides anything."""
    with contextlib.ExitStack() as opened:
        yield [
            opened.enter_context(
                EdgeDevice(
                    tmp_path / f"device-{number}", hub=hub.url, token=hub.token("wine"),
                    model="wine", background=False,
                )
            )
            for number in range(3)
        ]  # fmt: skip


def served(fleet: list[EdgeDevice]) -> list[str]:
    """Versions that the devices answer with, in order."""
    row = pd.read_csv(FOLDER / "holdout.csv").drop(columns="cultivar").iloc[0].to_dict()
    for device in fleet:
        device.sync()
    return sorted(device.predict(row).version for device in fleet)


def test_a_commit_becomes_a_canary_on_devices_and_a_bad_one_is_refused(
    hub: HubProcess, delivered: Repository, fleet: list[EdgeDevice]
) -> None:
    repository = delivered
    assert served(fleet) == ["1.0", "1.0", "1.0"]
    for name, (change, step, reason) in REFUSED.items():
        change(repository)
        refused = repository.push()
        assert refused.returncode != 0, name
        *_, last = (line for line in refused.stderr.splitlines() if "remote: == " in line)
        assert step in last, (name, refused.stderr)
        assert reason in refused.stderr, (name, refused.stderr)
        assert repository.main == "1"
        repository.take_back()
    assert versions(hub) == ["1.0"]
    repository.edit("train.py", "LogisticRegression()", "LogisticRegression(C=2)")
    second = repository.push()
    assert second.returncode == 0, second.stderr
    (trial,) = hub.admin.get("models/wine/experiments")
    assert (trial["candidate"], trial["status"]) == ("1.1", "running")
    # The first step is 5%, but at least as many of three devices as leave one for control.
    wait_for(lambda: served(fleet) == ["1.0", "1.1", "1.1"], "the canary on two of three devices")
    repository.edit("train.py", "C=2", "C=3")
    third = repository.push()
    assert third.returncode != 0
    assert f"{trial['id']} runs: deliver after its end" in third.stderr
    assert (repository.main, versions(hub)) == ("2", ["1.0", "1.1"])


def versions(hub: HubProcess) -> list[str]:
    return [each["version"]["version"] for each in hub.admin.get("models/wine/versions")]
