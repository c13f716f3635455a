"""Ten thousand connections that ask nothing: the hub goes on answering, and tells of them."""

from __future__ import annotations

import contextlib
import json
import socket
import urllib.request
from collections.abc import Iterator
from typing import Final

from benchmarks.hub.measured_rows import CONNECTIONS, load_words, poll_load
from benchmarks.hub.scale_row import Bench, ScaleRow
from benchmarks.hub.served import ServedHub, served_hub
from cloud_hub.api.token_files import ADMIN_FILE

IDLE: Final = 10_000
WHAT: Final = f"polls of {CONNECTIONS} connections beside 10,000 that ask nothing"
GOAL: Final = "the hub answers, and health tells"


def connecting(bench: Bench) -> list[ScaleRow]:
    """Poll before, and while the connections are open."""
    count = 100 if bench.quick else IDLE
    with served_hub(bench, devices=CONNECTIONS) as hub:
        admin = (bench.folder / "hub" / ADMIN_FILE).read_text().strip()
        before, memory = poll_load(hub, bench.seconds), hub.memory
        with _silent(hub, count):
            during = poll_load(hub, bench.seconds)
            told, full = _told(hub, admin), hub.memory
    words = (
        f"{load_words(during)}, without them {load_words(before)}; memory {memory:.0f} → "
        f"{full:.0f} MB; /readyz says “{told}”"
    )
    return [ScaleRow("idle", WHAT, GOAL, words, during.rate > before.rate / 2)]


@contextlib.contextmanager
def _silent(hub: ServedHub, count: int) -> Iterator[None]:
    """Open connections, and say nothing on them."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            address = ("127.0.0.1", hub.port)
            stack.enter_context(socket.create_connection(address, timeout=30))
        yield


def _told(hub: ServedHub, admin: str) -> str:
    headers = {"Authorization": f"Bearer {admin}"}
    asked = urllib.request.Request(f"http://127.0.0.1:{hub.port}/readyz", headers=headers)
    with urllib.request.urlopen(asked, timeout=30) as answer:
        checks = json.loads(answer.read())["checks"]
    return next(str(check["says"]) for check in checks if check["name"] == "handles")
