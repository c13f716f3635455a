"""The units of systemd: what its own tools say of them, and what they must allow."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge_sdk import EdgeDevice
from tests.conftest import Publish
from tests.servers import HubProcess
from tests.structure import ROOT
from tests.waiting import PATIENCE

FOLDER = ROOT / "deploy" / "systemd"
UNITS = sorted(FOLDER.glob("*.service"))
WORST = 30
"""Exposure, in tenths, that ``systemd-analyze security`` may find; 100 is a process of root's."""


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze: apt-get install systemd")
    command = ["systemd-analyze", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units in a folder, with programs where they name them: verify looks for those."""
    for unit in UNITS:
        text = unit.read_text().replace("/opt/edge/bin/", f"{tmp_path}/")
        (tmp_path / unit.name).write_text(text)
    for program in ("edge", "edge-hub"):
        (tmp_path / program).write_text("#!/bin/sh\n")
        (tmp_path / program).chmod(0o755)
    return tmp_path


@pytest.mark.deploy
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_knows_every_line_of_a_unit(unit: Path, installed: Path) -> None:
    done = analyze("verify", str(installed / unit.name))
    # An unknown key is only told: its status is 0.
    ours = [line for line in done.stderr.splitlines() if unit.name in line or "rror" in line]
    assert (done.returncode, ours) == (0, [])


@pytest.mark.deploy
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_gives_its_process_few_rights(unit: Path, installed: Path) -> None:
    place = str(installed / unit.name)
    done = analyze("security", "--offline=true", f"--threshold={WORST}", place)
    assert done.returncode == 0, done.stdout[-200:]


def allowed(unit: Path) -> set[str]:
    """Return the system calls that a unit's filter lets through."""
    rules = re.findall(r"(?m)^SystemCallFilter=(~?)(.*)$", unit.read_text())
    calls: set[str] = set()
    for denied, names in rules:
        found = {call for name in names.split() for call in members(name)}
        calls = calls - found if denied else calls | found
    return calls | members("@default")


def members(name: str) -> set[str]:
    if not name.startswith("@"):
        return {name}
    lines = [line.strip() for line in analyze("syscall-filter", name).stdout.splitlines()[1:]]
    names = [line for line in lines if line and not line.startswith("#")]
    return {call for each in names for call in members(each)}


def test_a_first_boot_file_leaves_the_boot_partition_for_where_the_service_may_remove_it(
    tmp_path: Path,
) -> None:
    text = (FOLDER / "edge.service").read_text().replace("\\\n", "")
    (script,) = re.findall(r"(?m)^ExecStartPre=\+/bin/sh -c '(.*)'$", text)
    boot, state = tmp_path / "boot", tmp_path / "state"
    script = script.replace("$$", "$").replace("/boot/firmware", str(boot))
    command = ["sh", "-c", script.replace("/var/lib/edge", str(state))]
    state.mkdir()
    subprocess.run(command, check=True, timeout=PATIENCE)  # no Raspberry Pi: nothing to do
    boot.mkdir()
    subprocess.run(command, check=True, timeout=PATIENCE)
    assert list(state.iterdir()) == []
    (boot / "edge.json").write_text("secret")
    subprocess.run(command, check=True, timeout=PATIENCE)
    moved = state / "first-boot.json"
    assert (moved.read_text(), moved.stat().st_mode & 0o777) == ("secret", 0o600)
    assert list(boot.iterdir()) == []
    subprocess.run(command, check=True, timeout=PATIENCE)  # the next start
    assert moved.read_text() == "secret"


@pytest.mark.deploy
@pytest.mark.strace
@pytest.mark.slow
def test_the_unit_of_a_device_allows_every_system_call_that_a_device_makes(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    if shutil.which("strace") is None:
        pytest.skip("needs strace: apt-get install strace")
    publish("traced")
    state, log = tmp_path / "state", tmp_path / "calls"
    token = hub.token("traced")
    EdgeDevice(state, hub=hub.url, token=token, model="traced").close()
    publish("traced", "1.1")  # so that it also updates
    command = ["strace", "-f", "-qq", "-o", str(log), sys.executable, "-m", "edge_sdk.cli.main"]
    health = ["--health-file", str(tmp_path / "health.json")]
    rows = b"[0.1, 0.2, 0.3, 0.4]\n" * 3
    subprocess.run(
        [*command, "run", str(state), *health], input=rows, check=True, timeout=PATIENCE,
        env={**os.environ, "NOTIFY_SOCKET": "/nowhere"}, capture_output=True,
    )  # fmt: skip
    made = set(re.findall(r"(?m)^\d+ +(\w+)\(", log.read_text()))
    assert len(made) > 40
    assert made - allowed(FOLDER / "edge.service") == set()
