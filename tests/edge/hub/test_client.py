"""Connections that are kept: what happens where the hub closes one just as it is used again."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from edge_sdk.contract.codec import encode
from edge_sdk.contract.fleet import CheckIn, EnrolReply
from edge_sdk.contract.messages import Upload, UploadReply
from edge_sdk.errors import HubUnreachable
from edge_sdk.hub.client import HubClient
from edge_sdk.hub.device_key import DeviceKey
from tests.waiting import PATIENCE


class Impatient:
    """A hub that answers one request on a connection and hangs up at the next, unanswered."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.silent = False
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            answered = False

            def handle_any(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                hub.seen.append(self.path)
                if self.answered or hub.silent:
                    self.close_connection = True
                    return
                self.answered = True
                body = hub.answer(self.path)
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("ETag", "e")
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = handle_any

            def log_message(self, *_: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @staticmethod
    def answer(path: str) -> bytes:
        known = {
            "/v1/messages": encode(UploadReply(0, 0)),
            "/v1/enrol": encode(EnrolReply("d-1", json.dumps({}), ("m",))),
        }
        return known.get(path, b"")

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def hub() -> Iterator[Impatient]:
    hub = Impatient()
    yield hub
    hub.close()


def test_what_may_be_sent_again_is_sent_again_and_nobody_notices(hub: Impatient) -> None:
    client = HubClient(hub.url, timeout=PATIENCE)
    assert client.changed(None) == "e"
    assert client.changed(None) == "e"
    client.checkin(CheckIn())
    assert client.upload(Upload(())) == UploadReply(0, 0)
    news, checkin = "/v1/metadata/timestamp.json", "/v1/checkin"
    assert hub.seen == [news, news, news, checkin, checkin, "/v1/messages", "/v1/messages"]


def test_an_enrolment_too_is_sent_again_since_the_hub_knows_the_key(hub: Impatient) -> None:
    client = HubClient(hub.url, timeout=PATIENCE)
    client.changed(None)
    request = DeviceKey.generate().enrolment(("m",), "token")
    assert client.enrol("token", request).device == "d-1"
    assert hub.seen.count("/v1/enrol") == 2


def test_a_hub_that_always_hangs_up_is_not_reached(hub: Impatient) -> None:
    hub.silent = True
    with pytest.raises(HubUnreachable, match="closed connection without response"):
        HubClient(hub.url, timeout=PATIENCE).changed(None)
    assert len(hub.seen) == 2
