"""A hub that drips bytes for ever: every request ends, and so does a device that is closed."""

from __future__ import annotations

import contextlib
import gc
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_sdk.contract.fleet import CheckIn, CloudRequest, EnrolRequest
from edge_sdk.contract.manifest import FileRef
from edge_sdk.contract.messages import Message, Upload
from edge_sdk.errors import HubError, HubUnreachable
from edge_sdk.hub import deadlines
from edge_sdk.hub.client import HubClient
from tests.waiting import PATIENCE, wait_for

HEAD = b"HTTP/1.1 200 OK\r\nETag: e\r\nContent-Length: 1000000\r\n\r\n"


class Dripping:
    """Sends ``first`` at once, and then a byte every few milliseconds; ``deaf``: it reads nothing.

    Each connection is dripped on until the other end hangs up: no request ends by itself.
    """

    def __init__(self, first: bytes = b"", drop: bytes = b"x", deaf: bool = False) -> None:
        self.first, self.drop, self.deaf = first, drop, deaf
        self.asked = 0
        self._closed = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        if deaf:
            self._server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                threading.Thread(target=self._drip, args=(connection,), daemon=True).start()

    def _drip(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            if not self.deaf:
                connection.recv(1 << 20)
            self.asked += 1
            if not self.deaf:
                connection.sendall(self.first)
            while not self._closed.wait(0.01):
                if not self.deaf:
                    connection.sendall(self.drop)

    def close(self) -> None:
        self._closed.set()
        self._server.close()


@contextlib.contextmanager
def dripping(*arguments: bytes, deaf: bool = False) -> Iterator[Dripping]:
    server = Dripping(*arguments, deaf=deaf)
    try:
        yield server
    finally:
        server.close()


def upload(size: int) -> Upload:
    return Upload((Message("b", 1, "event", {"reason": "x" * size}),))


REQUESTS: dict[str, Callable[[HubClient], object]] = {
    "timestamp": lambda client: client.changed(None),
    "metadata": lambda client: list(client.stream(f"{client.url}/v1/metadata/snapshot.json")),
    "upload": lambda client: client.upload(upload(10)),
    "check-in": lambda client: client.checkin(CheckIn()),
    "enrolment": lambda client: client.enrol("t", EnrolRequest(("m",), "0a" * 32, "1b" * 64)),
}
PLACES = {"head": (b"HTTP/1.1 200 OK\r\nX: ", b"x"), "body": (HEAD, b"x")}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("request_", REQUESTS)
def test_a_request_that_is_dripped_on_ends(request_: str, place: str) -> None:
    with dripping(*PLACES[place]) as hub:
        client = HubClient(f"http://{hub.address}", timeout=PATIENCE, conversation=0.3)
        # An answer that is no answer is a refusal too; none may hang.
        with pytest.raises(HubError):
            REQUESTS[request_](client)


@pytest.mark.parametrize("length", ["Content-Length: 1000000", "Transfer-Encoding: chunked"])
def test_metadata_that_is_dripped_on_is_late_and_is_not_said_to_have_changed(
    length: str,
) -> None:
    head = f"HTTP/1.1 200 OK\r\nETag: e\r\n{length}\r\n\r\n".encode()
    with dripping(head, b"1\r\nx\r\n" if "chunked" in length else b"x") as hub:
        client = HubClient(f"http://{hub.address}", timeout=PATIENCE, conversation=0.3)
        with pytest.raises(HubUnreachable, match="did not come in time"):
            REQUESTS["metadata"](client)
        assert (hub.asked, client._watches) == (1, set())


# CPython leaves a socket open that is shut down while it is wrapped; it is collected here.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_tls_handshake_that_is_dripped_on_ends() -> None:
    # The head of a TLS record of 16 kB, which then comes byte by byte.
    with dripping(b"\x16\x03\x03\x40\x00", b"\x00") as hub:
        client = HubClient(
            f"https://{hub.address}", timeout=PATIENCE, conversation=0.5, verify=False
        )
        with pytest.raises(HubUnreachable, match="did not come in time"):
            client.changed(None)
    gc.collect()


def test_all_requests_of_a_sync_have_one_deadline() -> None:
    with dripping(HEAD) as hub:
        client = HubClient(f"http://{hub.address}", timeout=PATIENCE)
        with client.conversation(0.3):
            with pytest.raises(HubUnreachable, match="did not come in time"):
                client.changed(None)
            with pytest.raises(HubUnreachable, match="the time for this sync is over"):
                client.checkin(CheckIn())
        assert hub.asked == 1


def test_a_download_that_stands_still_ends_and_what_came_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlines, "STALL_SECONDS", 0.3)
    with dripping(HEAD + b"y" * 70_000) as hub:
        client = HubClient(f"http://{hub.address}", timeout=PATIENCE, conversation=PATIENCE)
        monkeypatch.setattr(deadlines, "STALL_BYTES", 1 << 30)
        with pytest.raises(HubUnreachable, match="stands still"):
            client.download("a/b", FileRef(1_000_000, "0" * 64), tmp_path / "file")
    assert (tmp_path / "file.part").stat().st_size > 0


def test_a_download_that_gets_on_is_not_bounded_by_the_deadline_of_a_sync(tmp_path: Path) -> None:
    with dripping(HEAD, b"y" * 20_000) as hub:
        client = HubClient(f"http://{hub.address}", timeout=PATIENCE)
        # More than half a second for a million bytes; then its digest is another.
        with client.conversation(0.2), pytest.raises(HubError, match="expected SHA-256"):
            client.download("a/b", FileRef(1_000_000, "0" * 64), tmp_path / "file")


def test_an_upload_to_a_hub_that_takes_nothing_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "STALL_SECONDS", 0.2)
    with dripping(deaf=True) as hub:
        client = HubClient(f"http://{hub.address}", timeout=PATIENCE, conversation=0.2)
        with pytest.raises(HubUnreachable):
            client.upload(upload(12 << 20))


def test_an_upload_that_gets_on_is_not_bounded_by_the_deadline_of_a_sync() -> None:
    watch = deadlines.Watch(0.05)
    body = deadlines.Body(bytes(1 << 16), watch)
    sent = 0
    while block := body.read(1 << 12):
        sent += len(block)
        time.sleep(0.02)
    assert (sent, watch.over) == (1 << 16, False)
    watch.close()


def test_closing_ends_a_request_that_is_under_way_and_allows_a_last_one() -> None:
    with dripping(HEAD) as hub:
        client = HubClient(f"http://{hub.address}", timeout=PATIENCE, conversation=PATIENCE)
        outcome: list[BaseException] = []

        def ask() -> None:
            try:
                client.changed(None)
            except HubUnreachable as error:
                outcome.append(error)

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        wait_for(lambda: hub.asked == 1, "the request")
        client.interrupt()
        asking.join(PATIENCE)
        assert "closed" in str(outcome[0])
        with pytest.raises(HubUnreachable, match="being closed"):
            client.changed(None)
        with client.conversation(0.2, final=True), pytest.raises(HubError):
            client.upload(upload(10))
        assert hub.asked == 2


def test_a_cloud_that_is_dripped_on_leaves_no_thread_behind() -> None:
    with dripping(HEAD) as hub:
        client = HubClient(f"http://{hub.address}", timeout=PATIENCE)
        before = threading.active_count()
        for _ in range(3):
            with pytest.raises(HubUnreachable):
                client.predict(CloudRequest("m", "1.0", {"x": [1.0]}), deadline=0.1)
        # The pool's threads wait for work again; none is held by the hub.
        wait_for(lambda: not client._watches, "the end of the requests")
        assert threading.active_count() <= before + 8 + 3  # the pool's, and the server's
