"""The compose file: what its own tool says of it, and of Prometheus' files and Caddy's."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.structure import ROOT
from tests.waiting import PATIENCE

DEPLOY = ROOT / "deploy"
EXAMPLE = DEPLOY / "compose" / "example.env"


def composed(*options: str) -> subprocess.CompletedProcess[str]:
    command = ["docker-compose", "-f", str(DEPLOY / "compose.yaml"), *options, "config"]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE, env={"PATH": "/usr/bin:/bin"}
    )


def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    return found


@pytest.mark.deploy
def test_compose_understands_the_file_and_asks_for_secrets_that_are_missing(tmp_path: Path) -> None:
    if shutil.which("docker-compose") is None:
        pytest.skip("needs docker-compose: apt-get install docker-compose")
    whole = composed("--env-file", str(EXAMPLE))
    assert (whole.returncode, whole.stderr) == (0, "")
    assert set(yaml.safe_load(whole.stdout)["services"]) == set(services())
    (tmp_path / "env").touch()
    bare = composed("--env-file", str(tmp_path / "env"))
    assert bare.returncode != 0
    assert re.search("S3_ACCESS_KEY|POSTGRES_PASSWORD", bare.stderr)


def test_every_file_that_is_mounted_and_every_secret_of_the_example_is_there() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    mounted = re.findall(r"(\./[\w./-]+):/", text)
    assert len(mounted) >= 6
    assert [path for path in mounted if not (DEPLOY / path).exists()] == []
    asked = set(re.findall(r"(?<!\$)\$\{(\w+):\?", text))
    assert asked == set(re.findall(r"(?m)^(\w+)=", EXAMPLE.read_text())) - {"HUB_HOST"}


def test_the_hub_is_closed_and_reached_through_tls_alone() -> None:
    for name in ("hub", "prepare"):
        service = services()[name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert "ports" not in service
    settings = (ROOT / "docs" / "SETTINGS.md").read_text()
    given = {name for name in services()["hub"]["environment"] if name.startswith("EDGE_HUB")}
    assert {name for name in given if f"`{name}`" not in settings} == set()


@pytest.mark.promtool
def test_prometheus_understands_its_files() -> None:
    if shutil.which("promtool") is None:
        pytest.skip("needs promtool: apt-get install prometheus")
    for what, file in (("config", "prometheus.yml"), ("rules", "rules.yml")):
        options = ["--syntax-only"] if what == "config" else []
        command = ["promtool", "check", what, *options, str(DEPLOY / "compose" / file)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr


def test_what_alerts_ask_for_are_metrics_that_operators_read_of() -> None:
    operations = (ROOT / "docs" / "OPERATIONS.md").read_text()
    asked = set(re.findall(r"\bedge_hub_\w+", (DEPLOY / "compose" / "rules.yml").read_text()))
    assert asked
    assert {name for name in asked if f"`{name}`" not in operations} == set()


@pytest.mark.caddy
def test_caddy_understands_its_file() -> None:
    if shutil.which("caddy") is None:
        pytest.skip("needs Caddy: apt-get install caddy")
    file = str(DEPLOY / "compose" / "Caddyfile")
    command = ["caddy", "adapt", "--config", file, "--adapter", "caddyfile", "--validate"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE,
        env={"PATH": "/usr/bin:/bin", "HUB_HOST": "hub.example.com", "HOME": "/tmp"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "hub:8000" in done.stdout
