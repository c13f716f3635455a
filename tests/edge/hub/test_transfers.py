"""Downloads over connections that fail: what came is kept, and asked for once."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sdk.contract.manifest import FileRef
from edge_sdk.errors import HubError, HubUnreachable
from edge_sdk.hub.client import HubClient
from edge_sdk.hub.transfers import PROGRESS, Pace, part_of
from edge_sdk.system.compression import PIECE, zstd
from tests.waiting import PATIENCE

CONTENT = np.random.default_rng(1).bytes(300_000)
FILE = FileRef(len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


class Cutting:
    """Serves :data:`CONTENT`; each answer's body ends after so many bytes as ``cuts`` says next."""

    def __init__(self) -> None:
        self.cuts: list[int] = []
        self.ranges: list[str] = []
        self.content = CONTENT
        self.etag = '"1"'
        self.encoding = ""
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                asked = self.headers.get("Range", "")
                hub.ranges.append(asked)
                same = self.headers.get("If-Range", hub.etag) == hub.etag
                start = int(asked[6:-1]) if asked and same else 0
                body = hub.content[start:]
                self.send_response(206 if asked and same else 200)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("ETag", hub.etag)
                if hub.encoding:
                    self.send_header("Content-Encoding", hub.encoding)
                self.end_headers()
                cut = hub.cuts.pop(0) if hub.cuts else len(body)
                self.wfile.write(body[:cut])
                self.close_connection = cut < len(body)

            def log_message(self, *_: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def hub() -> Iterator[Cutting]:
    hub = Cutting()
    yield hub
    hub.close()


@pytest.fixture
def client(hub: Cutting) -> HubClient:
    return HubClient(hub.url, timeout=PATIENCE)


def test_every_byte_is_asked_for_once_however_often_it_is_cut(
    hub: Cutting, client: HubClient, tmp_path: Path
) -> None:
    hub.cuts = [70_001, 5_000, 65_537, 100_000]
    client.download("models/m", FILE, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == CONTENT
    assert hub.ranges == [
        "", "bytes=70001-", "bytes=75001-", "bytes=140538-", "bytes=240538-",
    ]  # fmt: skip
    assert not part_of(tmp_path / "f").exists()


def test_a_transfer_that_stands_still_is_given_up_and_its_part_waits(
    hub: Cutting, client: HubClient, tmp_path: Path
) -> None:
    hub.cuts = [10_000, 3, 0, 0]
    with pytest.raises(HubUnreachable, match="the transfer stopped"):
        client.download("models/m", FILE, tmp_path / "f")
    assert part_of(tmp_path / "f").read_bytes() == CONTENT[:10_003]
    hub.cuts = []
    client.download("models/m", FILE, tmp_path / "f")
    assert hub.ranges[-1] == "bytes=10003-"
    assert (tmp_path / "f").read_bytes() == CONTENT


def test_a_hub_that_sends_nothing_is_asked_once(
    hub: Cutting, client: HubClient, tmp_path: Path
) -> None:
    hub.cuts = [0, 0, 0]
    with pytest.raises(HubUnreachable):
        client.download("models/m", FILE, tmp_path / "f")
    assert len(hub.ranges) == 1


def test_a_hub_that_gives_a_byte_a_connection_does_not_keep_a_device_at_it(
    hub: Cutting, client: HubClient, tmp_path: Path
) -> None:
    hub.cuts = [PROGRESS, *[1] * 1_000]
    with pytest.raises(HubUnreachable):
        client.download("models/m", FILE, tmp_path / "f")
    assert len(hub.ranges) == 3


def test_more_than_was_signed_is_refused_and_not_kept(
    hub: Cutting, client: HubClient, tmp_path: Path
) -> None:
    hub.content = CONTENT + b"x"
    with pytest.raises(HubError, match="expected 300000 bytes, the hub sends more"):
        client.download("models/m", FILE, tmp_path / "f")
    assert part_of(tmp_path / "f").stat().st_size == 0


def test_other_bytes_than_were_signed_are_refused_and_not_kept(
    hub: Cutting, client: HubClient, tmp_path: Path
) -> None:
    hub.content = CONTENT[:-1] + b"x"
    with pytest.raises(HubError, match="expected SHA-256"):
        client.download("models/m", FILE, tmp_path / "f")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_is_a_file(hub: Cutting, client: HubClient, tmp_path: Path) -> None:
    client.download("models/m", FileRef(0, hashlib.sha256(b"").hexdigest()), tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == b""


def test_metadata_is_gone_on_with_too_unless_it_changed(hub: Cutting, client: HubClient) -> None:
    hub.cuts = [50_000, 70_000]
    assert b"".join(client.stream(f"{hub.url}/v1/metadata/9.releases.json")) == CONTENT
    assert hub.ranges == ["", "bytes=50000-", "bytes=120000-"]
    hub.cuts = [50_000]
    stream = client.stream(f"{hub.url}/v1/metadata/timestamp.json")
    first = next(stream)
    hub.etag, hub.content = '"2"', b"other"
    with pytest.raises(HubError, match="it changed while it was read"):
        first += b"".join(stream)


def test_compressed_metadata_is_gone_on_with_and_decompressed(
    hub: Cutting, client: HubClient
) -> None:
    text = CONTENT.hex().encode()
    hub.content, hub.encoding, hub.cuts = zstd.compress(text), "zstd", [50_000, 70_000]
    pieces = list(client.stream(f"{hub.url}/v1/metadata/9.releases.json"))
    assert b"".join(pieces) == text
    assert max(map(len, pieces)) <= PIECE
    assert hub.ranges == ["", "bytes=50000-", "bytes=120000-"]


@pytest.mark.parametrize("harm", ["noise", "cut", "a window of gigabytes"])
def test_metadata_that_cannot_be_decompressed_is_refused(
    hub: Cutting, client: HubClient, harm: str
) -> None:
    wide: dict[int, int] = {zstd.CompressionParameter.window_log: 27}
    hub.encoding = "zstd"
    hub.content = {
        "noise": CONTENT,
        "cut": zstd.compress(CONTENT)[:-10],
        "a window of gigabytes": zstd.compress(bytes(9 << 20), options=wide),
    }[harm]
    with pytest.raises(HubError, match="cannot be decompressed"):
        list(client.stream(f"{hub.url}/v1/metadata/9.releases.json"))


def test_an_interrupted_download_ends_at_once(client: HubClient, tmp_path: Path) -> None:
    client.interrupt()
    with pytest.raises(HubUnreachable, match="not asked, this device is being closed"):
        client.download("models/m", FILE, tmp_path / "f")


@pytest.mark.parametrize("rate", [1, 999, 50_000, 10_000_000])
def test_a_pace_is_kept_over_any_time_and_what_was_not_used_is_not_made_up_for(rate: int) -> None:
    pace, now, sent = Pace(rate), 1_000.0, 0
    for _ in range(200):
        sent += pace.chunk
        now += pace.rest(pace.chunk, now)
    assert sent <= rate * (now - 1_000.0) + pace.chunk + 1e-6 * sent
    now += 3_600
    assert pace.rest(pace.chunk, now) == pytest.approx(0, abs=1e-6)
    assert pace.rest(pace.chunk, now) == pytest.approx(pace.chunk / rate)


def test_without_a_rate_there_are_no_rests() -> None:
    assert Pace(0).rest(1 << 30, 1.0) == 0
