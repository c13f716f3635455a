"""The wheels: each holds its own package whole, and nothing else."""

from __future__ import annotations

import hashlib
import json
import os
import re
import runpy
import subprocess
import sys
import tarfile
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


EPOCH = 1_796_083_200
"""Moment that the files of the tests' builds carry; a release has that of its commit."""


def built(checkout: Path, out: Path) -> Path:
    command = [sys.executable, ".ci/distributions.py", str(out)]
    subprocess.run(
        command, cwd=checkout, check=True, capture_output=True, timeout=PATIENCE,
        env={**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH)},
    )  # fmt: skip
    return out


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def sdist(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkout that the sdist of the whole holds."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (packed,) = dist.glob("edge_deployment_sdk-[0-9]*.tar.gz")
    with tarfile.open(packed) as tar:
        tar.extractall(folder, filter="data")
    return folder / packed.name.removesuffix(".tar.gz")


def names_in_wheel(dist: Path, folder: str) -> set[str]:
    stem = project(folder)["name"].replace("-", "_")
    (wheel,) = dist.glob(f"{stem}-[0-9]*.whl")
    return {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_wheel_holds_its_package_whole_and_nothing_else(package: str, dist: Path) -> None:
    expected = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / package).rglob("*")
        if path.is_file()
        and (VENDOR in path.parents or not path.name.endswith(NO_CODE))
        and VENDOR / "axe-core" not in path.parents
    }
    assert names_in_wheel(dist, package) == expected


def test_the_distribution_that_devices_install_holds_no_code(dist: Path) -> None:
    assert names_in_wheel(dist, ".") == set()


def test_the_same_sources_give_the_same_bytes_elsewhere(
    dist: Path, sdist: Path, tmp_path: Path
) -> None:
    """Built from the sdist, in another folder: it is whole, and nothing of a machine gets in."""
    again = built(sdist, tmp_path / "dist")
    names = {path.name for path in dist.iterdir()}
    assert {path.name for path in again.iterdir()} == names
    own = ("edge_deployment_sdk-", "SHA256SUMS")  # that sdist has one file more, about itself
    for name in sorted(n for n in names if n.endswith(".whl") or not n.startswith(own)):
        assert (again / name).read_bytes() == (dist / name).read_bytes(), name


def test_the_tests_in_the_sdist_run(sdist: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/contract"]
    done = subprocess.run(
        command, cwd=sdist, capture_output=True, text=True, timeout=PATIENCE, check=False,
        env={**os.environ, "PYTHONPATH": str(sdist)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_bill_of_materials_names_what_a_wheel_brings_with_hashes(folder: str, dist: Path) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    stem = f"{project(folder)['name'].replace('-', '_')}-{project(folder)['version']}"
    text = (dist / f"{stem}.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bill = json.loads(text)
    (wheel,) = dist.glob(f"{stem}-*.whl")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert bill["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": digest}]
    assert all(part["externalReferences"][0]["hashes"] for part in bill["components"])
    named = {part["name"] for part in bill["components"]}
    asked = {re.split(r"[\[>=<;]", need)[0] for need in project(folder)["dependencies"]}
    asked |= {"requests"}  # of the core, which all the others bring
    ours = {project(each)["name"] for each in FOLDERS}
    assert {name.replace(".", "-") for name in asked - ours} <= named | ours


def test_every_extra_is_installed_alone_somewhere() -> None:
    """An extra that ``make extras`` does not know is one that nobody has ever installed alone."""
    known = runpy.run_path(str(ROOT / ".ci" / "extras.py"))
    tried = set(known["SMALLEST"]) | set(known["FOR_A_CHECKOUT"])
    for folder in FOLDERS:
        assert set(project(folder).get("optional-dependencies", {})) <= tried, folder


def test_sums_are_of_every_file(dist: Path) -> None:
    lines = (dist / "SHA256SUMS").read_text().splitlines()
    assert {line.split("  ")[1]: line.split("  ")[0] for line in lines} == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in dist.iterdir()
        if path.name != "SHA256SUMS"
    }


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
