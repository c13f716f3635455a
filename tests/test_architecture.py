"""ARCHITECTURE.md names files and folders that are there."""

from __future__ import annotations

import re

from tests.structure import PACKAGES, ROOT

TOPS = (
    *PACKAGES,
    "benchmarks",
    "deploy",
    "docker",
    "examples",
    "handbook",
    "native",
    "packs",
    "tests",
)


def test_every_path_that_the_architecture_names_is_there() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    named = {word.rstrip("/") for word in re.findall(r"`([\w./]+(?:/|\.py|\.html))`", text)}
    there = [f"/{path.relative_to(ROOT)}" for top in TOPS for path in (ROOT / top).rglob("*")]
    there += [f"/{top}" for top in TOPS]
    gone = {name for name in named if not any(path.endswith(f"/{name}") for path in there)}
    assert len(named) > 100
    assert gone == set()


def test_every_folder_of_a_package_has_a_floor() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    floors = re.findall(r"```\n(.*?)```", text, re.DOTALL)[1]
    for package in PACKAGES:
        folders = [path.parent for path in (ROOT / package).glob("*/__init__.py")]
        assert {
            folder.name for folder in folders if not re.search(rf"\b{folder.name}\b", floors)
        } == set()
