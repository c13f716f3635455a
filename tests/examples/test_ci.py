"""The workflow for a CI service: its own commands, in its order, against a real hub."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.processes.ready import ready_commands
from tests.servers import HubProcess
from tests.waiting import PATIENCE

FOLDER = Path(__file__).parents[2] / "examples" / "ci"
WORKFLOW: dict[str, Any] = yaml.load((FOLDER / "release.yml").read_text(), Loader=yaml.BaseLoader)


class Service:
    """Runs a job's steps as a CI service does: each in a shell that stops at the first failure."""

    def __init__(self, hub: HubProcess, checkout: Path) -> None:
        shutil.copytree(FOLDER, checkout)
        self._checkout = checkout
        self._known = {
            "vars.EDGE_HUB_URL": hub.url,
            "secrets.EDGE_HUB_TOKEN": (hub.data / "admin.token").read_text(),
            "secrets.RELEASES_KEY": hub.key.read_text(),
        }

    def run(self, job: str, **event: str) -> dict[str, str]:
        """What each step printed, by name; stops at the first that fails."""
        known = {**self._known, **{f"github.{name}": value for name, value in event.items()}}
        declared = {**WORKFLOW["env"], **WORKFLOW["jobs"][job].get("env", {})}
        environment = {**os.environ, "PATH": f"{ready_commands()}:{os.environ['PATH']}"}
        for name, value in declared.items():
            environment[name] = re.sub(r"\$\{\{ (.+?) \}\}", lambda m: known[m[1]], value)
        said = {}
        for step in WORKFLOW["jobs"][job]["steps"]:
            if "run" not in step or step["run"].startswith("pip install"):
                continue  # the package is installed already, from this very tree
            done = subprocess.run(
                ["bash", "-e", "-o", "pipefail", "-c", step["run"]],
                cwd=self._checkout, env=environment, capture_output=True, text=True,
                timeout=PATIENCE,
            )  # fmt: skip
            said[step["name"]] = done.stdout + done.stderr
            assert done.returncode == 0, said
        return said

    def edit(self, name: str, before: str, after: str) -> None:
        path = self._checkout / name
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after))


@pytest.fixture
def service(hub: HubProcess, tmp_path: Path) -> Service:
    return Service(hub, tmp_path / "checkout")


def test_a_tag_releases_and_a_pull_request_shows_what_the_policy_would_change(
    hub: HubProcess, service: Service
) -> None:
    first = service.run("release", ref_name="1.0")
    assert "policy applied" in first["Deliver"]
    assert hub.admin.get("models/wine/plan")["serving"]["version"] == "1.0"

    service.edit("policy.yaml", "below: 0.9,", "below: 0.95,")
    service.edit("train.py", "LogisticRegression()", "LogisticRegression(C=2)")
    shown = service.run("plan")["What the policy would change"]
    assert "~ triggers[accuracy].when.performance.below: 0.9 -> 0.95" in shown

    service.run("release", ref_name="1.1")
    (trial,) = hub.admin.get("models/wine/experiments")
    assert (trial["candidate"], trial["status"]) == ("1.1", "running")
    text = hub.admin.get("models/wine/policy")["text"]
    assert "below: 0.95" in text


def test_a_policy_with_a_typo_stops_the_job(service: Service) -> None:
    service.edit("policy.yaml", "runs_per_week", "runs_a_week")
    with pytest.raises(AssertionError, match=r"policy.yaml:\d+: budget.runs_a_week: unknown"):
        service.run("plan")


def test_the_hub_runs_the_same_training_as_a_command(tmp_path: Path) -> None:
    import pandas as pd

    table = pd.read_csv(FOLDER / "wine.csv")
    for name in ("fresh", "history"):
        table.to_parquet(tmp_path / f"{name}.parquet")
    environment = {**os.environ, "EDGE_RUN": str(tmp_path), "EDGE_OUT": str(tmp_path)}
    subprocess.run(
        [sys.executable, FOLDER / "train.py"], env=environment, check=True, timeout=PATIENCE
    )
    assert (tmp_path / "model.skops").exists()


def test_secrets_are_written_for_their_owner_only_and_not_left() -> None:
    script = (FOLDER / "deliver.sh").read_text()
    assert "umask 077" in script
    assert """trap 'rm -rf "$work"' EXIT""" in script
    assert '> "$work/releases.pem"' in script
