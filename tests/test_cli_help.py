"""Each command answers --help at once, and the page of commands names every one."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from edge_sdk.cli.console import INTERRUPTED, UNREAD, may_be_piped
from tests.edge.builders import make_release, rows
from tests.waiting import PATIENCE

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "COMMANDS.md"
SCRIPTS = {
    "edge": "edge_sdk.cli.main",
    "edge-hub": "cloud_hub.cli.main",
    "edge-convert": "converters.cli.main",
}
HEAVY = ["numpy", "onnxruntime", "onnx", "sklearn", "skl2onnx", "fastapi", "sqlalchemy", "tuf"]


def run(module: str, *words: str) -> subprocess.CompletedProcess[str]:
    code = (
        f"import sys; sys.argv = ['x', *{list(words)!r}]\n"
        f"from {module} import main\n"
        f"try:\n    main({list(words)!r})\nexcept SystemExit as end:\n    assert end.code == 0\n"
        f"print('heavy:', [m for m in {HEAVY} if m in sys.modules])"
    )
    plain = {**os.environ, "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "100"}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=plain,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


def commands(module: str) -> list[str]:
    """Names in the list of commands: indented (argparse) or in a frame (typer)."""
    help_text = run(module, "--help").stdout
    names = re.findall(r"^(?:    |│ )([a-z][a-z-]*)(?:  |$)", help_text, re.MULTILINE)
    return list(dict.fromkeys(names))


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_loads_nothing_heavy(script: str) -> None:
    done = run(SCRIPTS[script], "--help")
    assert "heavy: []" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_command_answers_help_and_stands_on_the_page_of_commands(script: str) -> None:
    names = commands(SCRIPTS[script])
    assert names
    page = PAGE.read_text()
    for name in names:
        assert f"`{script} {name}" in page, f"{PAGE.name} does not name `{script} {name}`"
    done = run(SCRIPTS[script], names[-1], "--help")
    assert done.returncode == 0, done.stderr


def test_wrong_usage_ends_with_status_2() -> None:
    for module in SCRIPTS.values():
        done = subprocess.run(
            [sys.executable, "-m", module, "--nonsense"], capture_output=True, timeout=PATIENCE
        )
        assert done.returncode == 2


def test_a_command_ends_quietly_when_its_output_is_closed(tmp_path: Path) -> None:
    release = make_release(tmp_path).folder
    read, write = os.pipe()
    os.close(read)
    row = json.dumps(rows(1)[0].tolist())
    done = subprocess.run(
        [sys.executable, "-m", "edge_sdk.cli.main", "predict", str(release), row],
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
        timeout=PATIENCE,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (UNREAD, b"")


def test_a_command_whose_output_cannot_be_written_says_why(tmp_path: Path) -> None:
    release = make_release(tmp_path).folder
    row = json.dumps(rows(1)[0].tolist())
    command = f"'{sys.executable}' -m edge_sdk.cli.main predict '{release}' '{row}'"
    full = subprocess.run(
        ["sh", "-c", f"{command} > /dev/full"], capture_output=True, check=False, timeout=PATIENCE
    )
    assert (full.returncode, full.stderr) == (1, b"cannot go on: No space left on device\n")
    closed = subprocess.run(
        ["sh", "-c", f"{command} >&-"], capture_output=True, check=False, timeout=PATIENCE
    )
    assert (closed.returncode, closed.stderr) == (0, b"")


MISSING = {
    "sqlalchemy": ("cloud_hub.cli.main", ["init", "FOLDER"], "hub"),
    "uvicorn": ("cloud_hub.cli.main", ["serve", "FOLDER"], "hub"),
    "yaml": ("cloud_hub.cli.main", ["policy", "plan", "README.md"], "hub"),
    "onnx": (
        "converters.cli.main",
        ["RELEASE/model.onnx", "--data", "rows.npz", "--name", "m"],
        "convert",
    ),
    "matplotlib": (
        "converters.cli.main",
        ["m.onnx", "--data", "d", "--name", "m", "--plot", "p.png"],
        "plot",
    ),
}


@pytest.mark.parametrize("package", MISSING)
def test_a_command_whose_package_is_missing_says_which_extra_brings_it(
    tmp_path: Path, package: str
) -> None:
    module, words, extra = MISSING[package]
    release = make_release(tmp_path).folder
    np.savez(tmp_path / "rows.npz", X=rows(5))
    words = [word.replace("RELEASE", str(release)).replace("FOLDER", "f") for word in words]
    if module == "converters.cli.main":
        words += ["--out", "new"]
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        f"from {module} import main\n"
        f"sys.exit(main({words!r}))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert f'pip install "edge-deployment-sdk[{extra}]"' in done.stderr


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_command_tells_its_version(script: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", SCRIPTS[script], "--version"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    told = f"{script} {importlib.metadata.version('edge-deployment-sdk')}\n"
    assert (done.returncode, done.stdout) == (0, told)


def test_ctrl_c_ends_a_command_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    def main(argv: Sequence[str] | None = None) -> int:
        raise KeyboardInterrupt

    assert may_be_piped(main)([]) == INTERRUPTED
    assert capsys.readouterr().err == ""
