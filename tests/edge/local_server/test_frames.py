"""The binary path: frames over a Unix socket, as docs/LOCAL_SERVER.md says them."""

from __future__ import annotations

import json
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_sdk import EdgeDevice
from edge_sdk.errors import StateError
from edge_sdk.local_server.server import LocalServer
from tests.edge.builders import rows, softmax
from tests.edge.local_server.asking import FrameClient, ask, row_request, tensors


@pytest.fixture
def client(server: LocalServer, socket_path: Path) -> Iterator[FrameClient]:
    client = FrameClient(socket_path)
    yield client
    client.close()


def test_a_row_is_answered_as_in_this_process(client: FrameClient, device: EdgeDevice) -> None:
    for row in rows(20):
        answer, own = client.row(row.tobytes()), device.predict(row)
        assert own.probabilities is not None
        assert answer["numbers"] == own.probabilities.tolist()
        assert (answer["label"], answer["confidence"]) == (own.label, own.confidence)
        assert (answer["source"], answer["version"], answer["degraded"]) == ("model", "1.0", False)


def test_a_label_comes_later(client: FrameClient) -> None:
    told = json.dumps({"id": client.row(rows(1)[0].tobytes())["id"], "label": 2}).encode()
    assert client.ask(3, told)[0] == 200
    status, why = client.ask(3, told)
    assert status == 400
    assert b"has its label already" in why


def test_everything_that_http_takes_goes_through_a_frame_too(client: FrameClient) -> None:
    status, about = client.ask(4, b"")
    assert (status, json.loads(about)["classes"]) == (200, [0, 1, 2])
    x = rows(3)
    head = json.dumps(row_request(x.tolist(), x.shape)).encode()
    status, body = client.ask(2, struct.pack("<I", len(head)) + head)
    (length,) = struct.unpack_from("<I", body)
    answer = tensors(json.loads(body[4 : 4 + length]))
    assert answer["label"] == softmax(x, 0).argmax(axis=1).tolist()
    entry = {"name": "X", "shape": [3, 4], "datatype": "FP32"}
    entry["parameters"] = {"binary_data_size": x.nbytes}  # type: ignore[assignment]
    request = {"inputs": [entry], "parameters": {"binary_data_output": True}}
    head = json.dumps(request).encode()
    status, body = client.ask(2, struct.pack("<I", len(head)) + head + x.tobytes())
    (length,) = struct.unpack_from("<I", body)
    shares = np.frombuffer(body[4 + length + 24 :], "<f4").reshape(3, 3)
    assert np.allclose(shares, softmax(x, 0), atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        (1, b"", 400),
        (1, bytes(15), 400),
        (1, bytes(20), 400),
        (1, np.full(4, np.nan, np.float32).tobytes(), 400),
        (2, b"", 400),
        (2, b"\0\0", 400),
        (2, b"\xff\xff\xff\xff{}", 400),
        (2, struct.pack("<I", 2) + b"{}", 400),
        (3, b"", 400),
        (3, b'{"id": "x"}', 400),
        (3, b'{"id": "x", "label": 1}', 400),
        (3, b'{"id": "\\ud800", "label": 1}', 400),
        (2, struct.pack("<I", 32) + b'{"inputs": [{"name": "\\ud800"}]}', 400),
        (0, b"", 400),
        (9, b"x", 400),
    ],
)
def test_a_wrong_frame_is_refused_and_the_next_is_answered(
    client: FrameClient, kind: int, body: bytes, status: int
) -> None:
    given, why = client.ask(kind, body)
    assert given == status
    assert why.decode()
    assert client.row(rows(1)[0].tobytes())["label"] is not None


@pytest.mark.parametrize("kind", [1, 2, 3, 4])
def test_a_model_number_that_nobody_has_is_refused(client: FrameClient, kind: int) -> None:
    for number in (2, 0xFFFF):
        status, why = client.ask(kind, b'{"id": "x", "label": 1}', number)
        assert (status, f"no model number {number}".encode() in why) == (404, True)
    assert client.row(rows(1)[0].tobytes(), 1)["label"] is not None


def test_a_frame_beyond_the_limit_ends_the_connection(client: FrameClient) -> None:
    client.sock.sendall(struct.pack("<IHH", 0xFFFF_FFFF, 1, 0))
    status, why = client.answer(1)
    assert status == 413
    assert b"expected at most" in why
    assert client.sock.recv(1) == b""


def test_only_the_own_user_may_open_it_and_it_goes_with_the_server(
    device: EdgeDevice, tmp_path: Path
) -> None:
    path = tmp_path / "e.sock"
    for _ in range(2):  # the second time over what a dead server left
        server = LocalServer(device, port=0, path=path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with pytest.raises(StateError, match="another server listens"):
            LocalServer(device, port=0, path=path)
        assert ask(server, "/v2/health/live")[0] == 200
        server.close()
        assert not path.exists()
        import socket

        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))


def test_what_is_no_socket_stays(device: EdgeDevice, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("mine")
    with pytest.raises(StateError, match="something else than a socket"):
        LocalServer(device, port=0, path=tmp_path / "data")
    assert (tmp_path / "data").read_text() == "mine"
    with pytest.raises(StateError, match="shorter path"):
        LocalServer(device, port=0, path=tmp_path / ("x" * 200))
    with pytest.raises(StateError, match="cannot listen at"):
        LocalServer(device, port=0, path=tmp_path / "none" / "s")
