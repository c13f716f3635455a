"""The commands of the pages run against a real hub; those that do not, say why not."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from tests.edge.builders import make_release
from tests.processes.ready import ready_commands
from tests.servers import running_hub
from tests.structure import ROOT
from tests.waiting import PATIENCE

BLOCK = re.compile(
    r"(?:<!-- not run: (?P<why>.+?) -->\n)?^```(?P<kind>sh|console)(?: .*?)?\n"
    r"(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
ELSEWHERE: Final = ("INFERENCE.md", "KEYS.md", "LOCAL_SERVER.md")
"""Tests of the hub, of keys and of the local server run these."""


def visits(folder: Path) -> None:
    random = np.random.default_rng(0)
    lines = ["seen_at,age,height,outcome"]
    for i in range(300):
        age, height = random.uniform(20, 90), random.uniform(150, 200)
        lines.append(f"{1_790_000_000 + 60 * i},{age:.1f},{height:.1f},{int(age > 50)}")
    (folder / "visits.csv").write_text("\n".join(lines) + "\n")


CHAMPION: Final = """
edge-hub versions alias digits/1.0 champion
cp hub/repository/metadata/1.root.json root.json
"""
EARLIER: Final = """
for rows in 100 200; do
    head -n $rows visits.csv > earlier.csv
    edge-hub data add risk train earlier.csv --label outcome --time seen_at
done
"""
ROOT_KEY: Final = "cp hub/repository/metadata/1.root.json ."
PAGES: Final = {
    "COMPLIANCE.md": CHAMPION, "DATA.md": EARLIER, "DEVICES.md": ROOT_KEY, "REGISTRY.md": "",
}  # fmt: skip
"""Pages, and what was done before one reads them."""


def commands_of(page: Path) -> list[str]:
    """Return the text of each block of a page that does not say why it is not run."""
    found = BLOCK.finditer(page.read_text())
    return [each["text"] for each in found if each["why"] is None]


def as_script(text: str) -> str:
    """Return the commands of a block; what a program answers stands without ``$``."""
    joined = text.replace("\\\n", " ")
    lines = joined.splitlines()
    if any(line.startswith("$ ") for line in lines):
        lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return "\n".join(["set -e", *lines])


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_commands_that_no_test_runs_say_why(page: Path) -> None:
    if page.name not in (*PAGES, *ELSEWHERE):
        assert commands_of(page) == []


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_do_what_they_say(page: str, tmp_path: Path) -> None:
    visits(tmp_path)
    path = f"{ready_commands()}{os.pathsep}{os.environ['PATH']}"
    with running_hub(tmp_path) as hub:
        for model, version in (
            ("risk", "1.0"),
            ("digits", "1.0"),
            ("digits", "1.1"),
            ("digits", "1.2"),
        ):
            release = make_release(tmp_path / "made", model, version)
            hub.admin.publish(release.folder, hub.key, override="test")
        hub.admin.post("models/digits/promote", version="1.0")
        environment = {
            **os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path),
            "EDGE_HUB_URL": hub.url, "EDGE_HUB_TOKEN": (hub.data / "admin.token").read_text(),
        }  # fmt: skip
        for text in [PAGES[page], *commands_of(ROOT / "docs" / page)]:
            done = subprocess.run(
                ["bash", "-c", as_script(text)],
                cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=PATIENCE,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr
