"""Third-party files of pages: those that were fetched, with their licences, and no others."""

from __future__ import annotations

import base64
import hashlib
import http.server
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_hub.errors import HubFault, Invalid
from cloud_hub.web.assets import FILES
from cloud_hub.web.fetch_vendor import VENDOR, fetch, packages

ARCHIVE = "/left-pad/-/left-pad-1.0.0.tgz"


def archive(text: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name in ("package/pad.js", "package/LICENSE"):
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text))
    return buffer.getvalue()


GOOD = archive(b"pad()")


@pytest.fixture
def registry() -> Iterator[tuple[str, dict[str, bytes]]]:
    """A registry's address, and what it answers with by path."""
    answers = {ARCHIVE: GOOD}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = answers.get(self.path)
            self.send_response(200 if body is not None else 404)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", answers
        server.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    entry = {
        "package": "left-pad", "version": "1.0.0", "license": "0BSD",
        "integrity": "sha512-" + base64.b64encode(hashlib.sha512(GOOD).digest()).decode(),
        "files": {"pad.js": "pad.js", "LICENSE": "LICENSE"},
    }  # fmt: skip
    (tmp_path / "packages.json").write_text(json.dumps({"left-pad": entry}))
    return tmp_path


def test_the_files_are_those_that_were_fetched_and_each_has_its_licence() -> None:
    served = {Path(path).name for path, _ in FILES.values() if path.startswith("vendor/")}
    known = set()
    for name, entry in packages().items():
        sums = dict(
            reversed(line.split("  "))
            for line in (VENDOR / name / "SHA256SUMS").read_text().splitlines()
        )
        there = {path.name for path in (VENDOR / name).iterdir()} - {"SHA256SUMS"}
        assert there == set(sums) == set(entry["files"].values())
        for file, digest in sums.items():
            assert hashlib.sha256((VENDOR / name / file).read_bytes()).hexdigest() == digest
        assert "LICENSE" in there
        known |= there
    assert served <= known


def test_files_are_fetched_with_their_checksums(
    registry: tuple[str, dict[str, bytes]], folder: Path
) -> None:
    fetch(registry[0], folder)
    assert (folder / "left-pad" / "pad.js").read_bytes() == b"pad()"
    assert hashlib.sha256(b"pad()").hexdigest() in (folder / "left-pad/SHA256SUMS").read_text()


def test_another_archive_changes_nothing(
    registry: tuple[str, dict[str, bytes]], folder: Path
) -> None:
    url, answers = registry
    answers[ARCHIVE] = archive(b"evil()")
    with pytest.raises(Invalid, match="left-pad: expected an archive of sha512-"):
        fetch(url, folder)
    del answers[ARCHIVE]
    with pytest.raises(HubFault, match="cannot be read"):
        fetch(url, folder)
    assert [path.name for path in folder.iterdir()] == ["packages.json"]
