"""What only the reader in JavaScript can get wrong, in Node and in a browser."""

from __future__ import annotations

import functools
import http.server
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.edge.packs.freeze import FROZEN, PACKS
from tests.packs_elsewhere.readers import PROGRAMS, node
from tests.structure import ROOT
from tests.waiting import PATIENCE


@pytest.mark.node
def test_texts_numbers_buffers_and_clocks_of_javascript() -> None:
    command = [node(), str(PROGRAMS / "check.mjs"), str(FROZEN)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "11 checks\n"


@pytest.fixture
def site() -> Iterator[str]:
    """This repository over HTTP on the loopback."""
    handler = functools.partial(Quiet, directory=str(ROOT))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files without a line for each; modules have their media type everywhere."""

    extensions_map = {
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".mjs": "text/javascript",
    }

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.browser
def test_a_browser_reads_every_frozen_pack(site: str, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("a browser is needed: apt-get install chromium")
    folder = FROZEN.relative_to(ROOT).as_posix()
    page = f"{site}/{PROGRAMS.relative_to(ROOT).as_posix()}/page.html?{folder}&{'&'.join(PACKS)}"
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=60000")
    command = [browser, *options, f"--user-data-dir={tmp_path}", "--dump-dom", page]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    found = re.search(r"<pre>(.*?)</pre>", done.stdout, re.DOTALL)
    assert found is not None, done.stdout + done.stderr
    counts = {name: len(expected_keys(name)) for name in PACKS}
    assert json.loads(found[1]) == counts


def expected_keys(name: str) -> list[str]:
    keys = json.loads((FROZEN / f"{name}.json").read_text())["keys"]
    return [key for key, values in keys.items() if values is not None]
