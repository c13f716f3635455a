"""The examples in other languages: run against a real ``edge serve``, compared with Python."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_sdk import EdgeDevice
from tests.edge.builders import make_release, rows
from tests.structure import ROOT
from tests.waiting import PATIENCE

EXAMPLES = ROOT / "examples" / "local_server"
WAYS_IN = ROOT / "docs" / "guides" / "OTHER_LANGUAGES.md"
ROW = rows(1)[0]
NUMBERS = [repr(float(value)) for value in ROW]


def need(program: str) -> str:
    """The path of a program that the example is for."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"this example needs {program}, which is not installed")
    return found


def done(*words: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    ran = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, timeout=PATIENCE
    )
    assert ran.returncode == code, ran.stderr
    return ran


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_release(tmp_path_factory.mktemp("release")).folder


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("s") / "edge.sock"


@pytest.fixture(scope="module")
def served(folder: Path, path: Path) -> Iterator[str]:
    words = [sys.executable, "-m", "edge_sdk.cli.main", "serve", str(folder)]
    with subprocess.Popen(
        [*words, "--port", "0", "--socket", str(path)],
        stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


@pytest.fixture(scope="module")
def expected(folder: Path) -> tuple[object, list[float]]:
    with EdgeDevice.offline(folder) as device:
        p = device.predict(ROW)
    assert p.probabilities is not None
    return p.label, p.probabilities.tolist()


def test_curl(served: str, expected: tuple[object, list[float]]) -> None:
    need("curl")
    row = json.dumps([float(value) for value in ROW])
    ran = done("sh", EXAMPLES / "ask.sh", served, "demo", "X", row)
    (output,) = json.loads(ran.stdout)["outputs"]
    assert (output["name"], output["data"]) == ("label", [expected[0]])
    assert ran.stderr == "{}"  # the device took the label
    ran = done("sh", EXAMPLES / "ask.sh", served, "demo", "X", "[1]", code=1)
    assert "4 features" in ran.stderr


def test_javascript(served: str, expected: tuple[object, list[float]]) -> None:
    node = need("node")
    ran = done(node, EXAMPLES / "ask.mjs", served, "demo", *NUMBERS)
    answer = json.loads(ran.stdout)
    assert answer["outputs"] == {"label": [expected[0]], "probabilities": expected[1]}
    assert answer["source"] == "model"
    ran = done(node, EXAMPLES / "ask.mjs", served, "demo", "1", code=1)
    assert "4 features" in ran.stderr


def test_c(served: str, path: Path, tmp_path: Path, expected: tuple[object, list[float]]) -> None:
    compiler, program = need("cc"), tmp_path / "ask"
    done(compiler, "-std=c11", "-D_DEFAULT_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror",
         "-o", program, EXAMPLES / "ask.c")  # fmt: skip
    lines = [line.split(" ", 1) for line in done(program, path, *NUMBERS).stdout.splitlines()]
    assert [float(text) for name, text in lines if name == "number"] == expected[1]
    facts = dict(lines)
    assert (facts["label"], facts["source"], facts["version"]) == (str(expected[0]), "model", "1.0")
    assert "400: feature" in done(program, path, *NUMBERS[:3], "nan", code=1).stderr
    assert "No such file" in done(program, tmp_path / "none", *NUMBERS, code=1).stderr


@pytest.mark.parametrize("page", ["docs/guides/OTHER_LANGUAGES.md", "docs/LOCAL_SERVER.md"])
def test_the_block_of_a_page_runs(folder: Path, tmp_path: Path, page: str) -> None:
    need("curl")
    (block,) = re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert len(block.splitlines()) <= 20
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for there, here in (
        ("state/", str(folder)),
        ("8080", str(port)),
        ("models/digits", "models/demo"),
    ):
        assert there in block
        block = block.replace(there, here)
    command = tmp_path / "edge"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m edge_sdk.cli.main "$@"\n')
    command.chmod(0o755)
    ran = subprocess.run(
        ["sh", "-e", "-c", block], capture_output=True, text=True, timeout=PATIENCE,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith(f"http://127.0.0.1:{port}\n")
    for said in ('{"ready": true}', '"name":"label"', '"prediction_id":'):
        assert said in ran.stdout
    assert ran.stdout.endswith("{}")  # the label was taken


def test_the_page_of_ways_in_asks_in_javascript(served: str, tmp_path: Path) -> None:
    node = need("node")
    (block,) = re.findall(r"```js\n(.*?)```", WAYS_IN.read_text(), re.DOTALL)
    assert len(block.splitlines()) <= 20
    script = tmp_path / "ask.mjs"
    script.write_text(
        block.replace("http://127.0.0.1:8080/v2/models/digits", f"{served}/v2/models/demo")
    )
    label, source = done(node, script).stdout.split()
    assert label in ("0", "1", "2")
    assert source == "model"
