"""The wheels: each holds its own package whole, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.structure import PACKAGES, ROOT
from tests.waiting import PATIENCE

pytestmark = pytest.mark.slow
FOLDERS = (*PACKAGES, ".")
NO_CODE = (".pyc", "pyproject.toml", "README.md", "LICENSE")
VENDOR = ROOT / "cloud_hub" / "web" / "vendor"
"""Third-party files, which go with their licences; but for what tests alone need."""


def project(folder: str) -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]
    return table


def names_in_wheel(folder: str, out: Path) -> set[str]:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", out]
    subprocess.run(command, cwd=ROOT / folder, check=True, capture_output=True, timeout=PATIENCE)
    (wheel,) = out.glob("*.whl")
    return {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_wheel_holds_its_package_whole_and_nothing_else(package: str, tmp_path: Path) -> None:
    expected = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / package).rglob("*")
        if path.is_file()
        and (VENDOR in path.parents or not path.name.endswith(NO_CODE))
        and VENDOR / "axe-core" not in path.parents
    }
    assert names_in_wheel(package, tmp_path) == expected


def test_the_distribution_that_devices_install_holds_no_code(tmp_path: Path) -> None:
    assert names_in_wheel(".", tmp_path) == set()


def test_every_distribution_has_one_version_and_asks_for_it() -> None:
    versions = {project(folder)["version"] for folder in FOLDERS}
    (version,) = versions
    needs = [
        need
        for folder in FOLDERS
        for need in (
            *project(folder)["dependencies"],
            *(
                n
                for extra in project(folder).get("optional-dependencies", {}).values()
                for n in extra
            ),
        )
        if need.startswith("edge-deployment-sdk-")
    ]
    assert needs
    assert {need.rpartition("==")[2] for need in needs} == {version}


def test_the_core_brings_no_runtime_and_the_plain_install_brings_one() -> None:
    def names(folder: str) -> list[str]:
        return [need.split(">")[0] for need in project(folder)["dependencies"]]

    assert "onnxruntime" not in names("edge_sdk")
    assert "onnxruntime" in names(".")


def test_licences_are_one_text() -> None:
    assert len({(ROOT / folder / "LICENSE").read_text() for folder in FOLDERS}) == 1
