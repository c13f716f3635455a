"""Downloads that a hub sends to another place: the credential stays, the bytes are the same."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from edge_sdk.contract.manifest import FileRef
from edge_sdk.errors import HubError, HubUnreachable
from edge_sdk.hub.client import HubClient
from edge_sdk.hub.redirects import address_elsewhere
from edge_sdk.hub.transfers import part_of

CONTENT = bytes(range(256)) * 400
REF = FileRef(len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
SIGNED = "?X-Amz-Signature=abc"


class Place:
    """A server that notes what it is asked, and answers with ``status`` or an address."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.status = 200
        self.location: str | None = None
        place = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                place.answer(self)

            def log_message(self, *_: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.asked.append((request.path, dict(request.headers)))
        span = request.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")
        body = b"" if self.location or self.status >= 400 else CONTENT[int(span[0]) :]
        whole = len(body) == len(CONTENT) or not body
        request.send_response(307 if self.location else self.status if whole else 206)
        if self.location:
            request.send_header("Location", self.location)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def hub() -> Iterator[Place]:
    place = Place()
    yield place
    place.close()


@pytest.fixture
def bucket(hub: Place) -> Iterator[Place]:
    place = Place()
    hub.location = f"{place.url}/bucket/x{SIGNED}"
    yield place
    place.close()


class Known(HubClient):
    """A client whose every request carries a credential."""

    def _send(self, method: str, path: str, **options: Any) -> Any:
        headers = {**(options.pop("headers", None) or {}), "Authorization": "Bearer secret"}
        return super()._send(method, path, headers=headers, own=False, **options)


def test_a_download_comes_from_where_the_hub_sends_it_without_the_credential(
    hub: Place, bucket: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine localhost login somebody password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    hub.location = str(hub.location).replace("127.0.0.1", "localhost")
    Known(hub.url).download("models/m/1.0/x", REF, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == CONTENT
    (_, to_hub), (path, to_bucket) = *hub.asked, *bucket.asked
    assert to_hub["Authorization"] == "Bearer secret"
    assert path == f"/bucket/x{SIGNED}"
    assert "Authorization" not in to_bucket


def test_a_part_is_gone_on_with_at_the_other_place(
    hub: Place, bucket: Place, tmp_path: Path
) -> None:
    part_of(tmp_path / "x").write_bytes(CONTENT[:1_000])
    Known(hub.url).download("models/m/1.0/x", REF, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == CONTENT
    assert bucket.asked[0][1]["Range"] == "bytes=1000-"


REFUSALS = {403: HubError, 404: HubError, 500: HubUnreachable, 503: HubUnreachable, 307: HubError}


@pytest.mark.parametrize("status", REFUSALS)
def test_what_the_other_place_refuses_is_an_error_without_its_address(
    hub: Place, bucket: Place, tmp_path: Path, status: int
) -> None:
    bucket.status = status
    if status == 307:
        bucket.location = hub.url + "/v1/targets/again"
    with pytest.raises(REFUSALS[status], match=f"the store of the hub answered {status}") as told:
        Known(hub.url).download("models/m/1.0/x", REF, tmp_path / "x")
    assert "Signature" not in str(told.value)
    assert bucket.url.removeprefix("http://") in str(told.value)


def test_nothing_but_a_download_is_sent_elsewhere(hub: Place, bucket: Place) -> None:
    with pytest.raises(HubError, match="the hub answered 307"):
        Known(hub.url).changed(None)
    assert bucket.asked == []


WRONG = ["", "/elsewhere", "ftp://bucket/x", "http://bucket/x", "https:///x"]


@pytest.mark.parametrize("location", WRONG)
def test_an_address_that_is_none_or_not_encrypted_is_refused(location: str) -> None:
    with pytest.raises(HubError, match="expected an address with https://"):
        address_elsewhere("https://hub", "/v1/targets/x", location)


def test_a_place_that_does_not_answer_is_the_networks_trouble(
    hub: Place, bucket: Place, tmp_path: Path
) -> None:
    bucket.close()
    with pytest.raises(HubUnreachable) as told:
        Known(hub.url, timeout=5.0).download("models/m/1.0/x", REF, tmp_path / "x")
    assert "Signature" not in str(told.value)
