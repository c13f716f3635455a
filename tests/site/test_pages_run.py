"""Blocks of the pages for readers run, in order; what is not run says why, and parses at least."""

from __future__ import annotations

import argparse
import functools
import os
import re
import shlex
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer

from cloud_hub.cli.app import create_app
from converters.cli.app import app as convert_app
from edge_sdk.cli.main import _parser
from tests.conftest import Publish
from tests.processes.ready import ready_commands
from tests.servers import HubProcess
from tests.structure import ROOT
from tests.waiting import PATIENCE

FOLDERS = ("start", "guides", "concepts")
PAGES = sorted(page for name in FOLDERS for page in (ROOT / "docs" / name).glob("*.md"))
DOCS = [*sorted(ROOT.glob("docs/**/*.md")), ROOT / "README.md", ROOT / "converters" / "README.md"]
ALONE = ("start/TEN_MINUTES.md",)
AFTERWARDS = ("guides/KEEP_FRESH.md", "guides/CANDIDATE.md")
ELSEWHERE = ("guides/OTHER_LANGUAGES.md",)  # tests/test_readme.py, tests/examples
BLOCK = re.compile(
    r'(?:<!-- not run: (?P<why>.+?) -->\n)?^```(?P<kind>\w+)(?: title="(?P<file>[\w./-]+)")?\n'
    r"(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


class Block(NamedTuple):
    kind: str
    file: str | None
    text: str
    why: str | None


def blocks(page: Path) -> list[Block]:
    found = BLOCK.finditer(page.read_text())
    return [Block(each["kind"], each["file"], each["text"], each["why"]) for each in found]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT / "docs")) if ROOT / "docs" in page.parents else page.name


def script(page: Path, folder: Path) -> str:
    """Write the files of a page, and return its commands."""
    commands = ["set -e", "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT"]
    for block in blocks(page):
        if block.why is None and block.file is not None:
            (folder / block.file).write_text(block.text.replace("/srv/digits", str(folder)))
        elif block.why is None and block.kind == "sh":
            commands.append(block.text)
    return "\n".join(commands)


@pytest.mark.slow
@pytest.mark.parametrize("page", ALONE)
def test_a_page_does_what_it_says(page: str, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    commands = script(ROOT / "docs" / page, work)
    with socket.create_server(("127.0.0.1", 0)) as free:
        commands = commands.replace("8000", str(free.getsockname()[1]))
    run(commands, work)


@pytest.mark.slow
def test_pages_that_go_on_from_the_first_do_what_they_say(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    tmp_path.chmod(0o755)  # trainings run as another user, where the hub is root
    publish("digits", "1.0")
    publish("digits", "1.1", promote=False)
    for page in AFTERWARDS:
        run(
            script(ROOT / "docs" / page, tmp_path).replace("hub-data", str(hub.data)),
            tmp_path,
        )


def run(commands: str, folder: Path) -> None:
    path = f"{ready_commands()}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-c", commands],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_what_is_not_run_says_why(page: Path) -> None:
    ran = name(page) in ALONE + AFTERWARDS + ELSEWHERE
    silent = [b.text for b in blocks(page) if b.kind != "text" and b.why is None and not ran]
    assert silent == []


def lines_of(page: Path) -> Iterator[list[str]]:
    """Yield the words of each command line of the three programs in a page's blocks."""
    text = "\n".join(b.text for b in blocks(page) if b.kind in ("sh", "console"))
    for line in text.replace("\\\n", " ").splitlines():
        line = re.sub(r"^(for \w+ in .*?; do|until|while|if|!|\$) ", "", line.strip())
        if re.match(r"edge(-hub|-convert)? ", line):
            line = re.sub(r"\$\(.*?\)", "VALUE", line)
            words = shlex.split(re.split(r" [|>&;] ?|; | 2?> ", line)[0], comments=True)
            yield words


@pytest.mark.parametrize("page", DOCS, ids=name)
def test_every_command_line_of_a_page_is_one_that_the_programs_take(
    page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(argparse.ArgumentParser, "error", _refused)
    for words in lines_of(page):
        if "…" not in " ".join(words) and "--help" not in words:
            try:
                _parse(words)
            except Exception as error:
                raise AssertionError(f"{shlex.join(words)}: {error}") from error


def _parse(words: list[str]) -> None:
    """Parse a command line with the program's own parser, without running it."""
    program, *rest = words
    if program == "edge":
        _parser().parse_args(rest)
        return
    command, context = _root(program), None
    while True:
        context = command.make_context(program, rest, parent=context)
        if not hasattr(command, "resolve_command"):
            return
        given = [*context._protected_args, *context.args]
        _, command, rest = command.resolve_command(context, given)


@functools.cache
def _root(program: str) -> Any:
    return typer.main.get_command(create_app() if program == "edge-hub" else convert_app)


def _refused(parser: argparse.ArgumentParser, message: str) -> None:
    raise ValueError(f"{parser.prog}: {message}")
