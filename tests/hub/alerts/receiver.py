"""A receiver of webhooks, a process of its own: ``python -m tests.hub.alerts.receiver FOLDER``.

It writes each request into ``FOLDER/got.jsonl`` before it answers as ``FOLDER/answer`` says
(``STATUS [RETRY-AFTER]``), and its port into ``FOLDER/port``.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.waiting import PATIENCE, wait_for


class Receiver:
    """The process, as a test sees it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.answer("200")
        command = [sys.executable, "-m", "tests.hub.alerts.receiver", str(folder)]
        self._process = subprocess.Popen(command)
        port = folder / "port"
        wait_for(lambda: port.exists() and port.read_text().endswith("\n"), "the receiver's port")
        self.url = f"http://127.0.0.1:{int(port.read_text())}/hook?a=1"

    def answer(self, text: str) -> None:
        (self.folder / "answer").write_text(text)

    def got(self) -> list[dict[str, Any]]:
        file = self.folder / "got.jsonl"
        lines = file.read_text().splitlines(keepends=True) if file.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(each["body"]) for each in self.got()]

    def close(self) -> None:
        self._process.kill()
        self._process.wait(PATIENCE)


@contextlib.contextmanager
def receiving(folder: Path) -> Iterator[Receiver]:
    receiver = Receiver(folder)
    try:
        yield receiver
    finally:
        receiver.close()


def main(folder: Path) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            got = {"path": self.path, "headers": dict(self.headers), "body": body}
            with (folder / "got.jsonl").open("a") as file:
                file.write(json.dumps(got) + "\n")
            status, *after = (folder / "answer").read_text().split()
            self.send_response(int(status))
            if after:
                self.send_header("Retry-After", after[0])
            if 300 <= int(status) < 400:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    (folder / "port").write_text(f"{server.server_address[1]}\n")
    server.serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
