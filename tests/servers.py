"""A real hub process, and a proxy in front of it that can misbehave as networks and hubs do."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import requests

from cloud_hub.client import AdminClient
from cloud_hub.errors import HubFault
from cloud_hub.settings import Settings
from tests.new_hub import initialise
from tests.processes.ready import ReadyProcess
from tests.waiting import PATIENCE, wait_for


class HubProcess:
    """``edge-hub serve`` on a folder; it can be killed and started again.

    Devices that it enrols have the same names in every run. Each start has a port of its own: while
    it is away, somebody else may be given the one it had. With ``ready`` it finds loaded what it
    imports; where the start is what a test is about, it does not.
    """

    def __init__(
        self,
        folder: Path,
        *,
        tick: float = 0.2,
        database: str | None = None,
        artifacts: str | None = None,
        workers: int = 1,
        options: Sequence[str] = (),
        made: bool = False,
        ready: bool = True,
    ) -> None:
        self.data = folder / "hub"
        self._ready = ready
        self._options = ["--port", "0", "--tick", str(tick)]
        self._options += ["--database", database] if database is not None else []
        self._options += ["--artifacts", artifacts] if artifacts is not None else []
        self._options += ["--workers", str(workers)] if workers > 1 else []
        self._options += options
        self._starts = 0
        self._log = (folder / "hub.log").open("ab")
        if not made:  # by a restore, say
            initialise(Settings(self.data, database, artifacts=artifacts))
        self.start()

    def start(self) -> None:
        address = self.data / "hub.url"
        address.unlink(missing_ok=True)
        self._starts += 1
        words = ["-m", "tests.named_hub", str(self._starts), str(self.data), *self._options]
        self._process = self._started(words)
        wait_for(lambda: address.exists() or self._process.poll() is not None, "the hub's address")
        assert self._process.poll() is None, f"the hub ended: {self._log.name}"
        url, token = address.read_text().strip(), (self.data / "admin.token").read_text().strip()
        plain = url.startswith("http://")  # else it is known by the certificate of its folder
        self.admin = (
            AdminClient(url, token, timeout=PATIENCE)
            if plain
            else AdminClient.of_data(self.data, timeout=PATIENCE)
        )
        wait_for(self._answers, "an answer of the hub")

    def _started(self, words: list[str]) -> ReadyProcess | subprocess.Popen[bytes]:
        if self._ready:
            return ReadyProcess(
                "hub", words, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log
            )
        return subprocess.Popen(
            [sys.executable, *words],
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
        )  # fmt: skip

    def _answers(self) -> bool:
        with contextlib.suppress(HubFault):
            self.admin.get("health")
            return True
        return False

    @property
    def url(self) -> str:
        return self.admin.url

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def key(self) -> Path:
        return self.data / "keys" / "releases.pem"

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(PATIENCE)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=PATIENCE)
        self._log.close()

    def token(self, model: str, uses: int = 1) -> str:
        return str(self.admin.post("enrolment-tokens", model=model, uses=uses)["token"])


class Proxy:
    """Passes requests on to a hub. ``fault`` chooses what goes wrong:

    ``none``; ``error`` (500 with a page), ``garbage`` (200 with noise), ``cut`` (half of the body,
    then the connection drops), ``flip`` (one bit of each target is flipped), ``away`` (no answer),
    ``drip`` (a byte every now and then), ``busy`` (429, come again in two minutes).
    ``only`` limits it to paths that contain the text. ``served`` are the paths that the hub was
    asked for, with the bytes that it gave. ``hub`` is where they go, and may be changed. With
    ``forms`` false nobody is offered any: what is downloaded then does not depend on how far the
    hub has got with them.
    """

    def __init__(self, hub: str) -> None:
        self.hub = hub
        self.fault = "none"
        self.only = ""
        self.forms = False
        self.statuses: list[int] = []
        self.served: list[tuple[str, int]] = []
        self.busy: list[str] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                proxy.answer(self)

            do_GET = do_POST = handle_any

            def log_message(self, *_: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        length = int(request.headers.get("Content-Length") or 0)
        body = request.rfile.read(length)
        fault = self.fault if self.only in request.path else "none"
        if request.path.startswith("/v1/forms/") and not self.forms:
            self._send(request, 404, {}, b"{}")
            return
        if fault == "away":
            request.close_connection = True
            return
        if fault == "busy":
            self.busy.append(request.path)
            self._send(request, 429, {"Retry-After": "120"}, b'{"error": "too many requests"}')
            return
        if fault in ("error", "garbage"):
            noise = b"<html>\x00\xff not what you expect</html>"
            self._send(request, 500 if fault == "error" else 200, {}, noise)
            return
        wanted = ("Authorization", "If-None-Match", "If-Range", "Range")
        headers = {n: request.headers[n] for n in wanted if n in request.headers}
        headers["Accept-Encoding"] = "identity"
        try:
            got = requests.request(
                request.command, self.hub + request.path, data=body, headers=headers,
                timeout=PATIENCE,
            )  # fmt: skip
        except requests.ConnectionError:  # the hub is away
            request.close_connection = True
            return
        self.statuses.append(got.status_code)
        content = got.content
        self.served.append((request.path, len(content)))
        if fault == "flip" and len(content) > 0:
            content = content[:-1] + bytes([content[-1] ^ 1])
        kept = {n: got.headers[n] for n in ("ETag", "Content-Range") if n in got.headers}
        if fault == "drip":
            self._drip(request, got.status_code, kept, content)
        else:
            self._send(request, got.status_code, kept, content, cut=fault == "cut")

    @staticmethod
    def _drip(
        request: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes
    ) -> None:
        request.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            request.send_header(name, value)
        request.end_headers()
        with contextlib.suppress(OSError):  # the device hung up
            for byte in body:
                request.wfile.write(bytes([byte]))
                time.sleep(0.05)

    @staticmethod
    def _send(
        request: BaseHTTPRequestHandler,
        status: int,
        headers: dict[str, str],
        body: bytes,
        cut: bool = False,
    ) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        if status not in (204, 304):
            request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            request.close_connection = True

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextlib.contextmanager
def running_hub(folder: Path, *, tick: float = 0.2) -> Iterator[HubProcess]:
    hub = HubProcess(folder, tick=tick)
    try:
        yield hub
    finally:
        hub.close()
