"""A device of several models behind one local server: each is asked by its own name or number."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_sdk import EdgeDevice
from edge_sdk.local_server.server import LocalServer
from tests.edge.builders import make_release, rows, softmax
from tests.edge.local_server.asking import FrameClient, ask, connected, row_request, tensors

SEEDS = {"ears": 1, "eyes": 2, "nose": 3}
X = rows(2)


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeDevice]:
    folder = tmp_path_factory.mktemp("several")
    folders = [make_release(folder / n, seed=s, model=n).folder for n, s in SEEDS.items()]
    with EdgeDevice.offline(folders) as device:
        yield device


def test_each_model_answers_to_its_name(server: LocalServer) -> None:
    for name, seed in SEEDS.items():
        where = f"/v2/models/{name}/infer"
        for x in (X[:1], X):
            status, answer, _ = ask(server, where, row_request(x.ravel().tolist(), x.shape))
            assert (status, answer["model_name"]) == (200, name)
            shares = np.reshape(tensors(answer)["probabilities"], (-1, 3))
            assert np.allclose(shares, softmax(x, seed), atol=1e-6)
    status, answer, _ = ask(server, "/v2/models/mouth/infer", row_request([1, 2, 3, 4]))
    assert (status, answer["error"]) == (
        404,
        "there is no model 'mouth' here, but ears, eyes, nose",
    )


def test_all_of_them_are_listed(server: LocalServer) -> None:
    models = ask(server, "/v2/models")[1]["models"]
    assert [(m["name"], m["versions"]) for m in models] == [(name, ["1.0"]) for name in SEEDS]
    assert all(ask(server, f"/v2/models/{m['name']}")[1] == m for m in models)
    status, index, _ = ask(server, "/v2/repository/index", b"")
    assert (status, [each["state"] for each in index]) == (200, ["READY"] * 3)
    assert ask(server, "/v2/health/ready")[:2] == (200, {"ready": True})
    text = ask(server, "/metrics")[1].decode()
    assert 'edge_device_ready{model="nose"} 1' in text


def test_frames_name_them_by_number(server: LocalServer, socket_path: Path) -> None:
    client = FrameClient(socket_path)
    status, listed = client.ask(5, b"")
    assert (status, [each["name"] for each in json.loads(listed)]) == (200, list(SEEDS))
    for number, (name, seed) in enumerate(SEEDS.items(), 1):
        answer = client.row(X[0].tobytes(), number)
        assert np.allclose(answer["numbers"], softmax(X[:1], seed)[0], atol=1e-6)
        assert json.loads(client.ask(4, b"", number)[1])["name"] == name
        told = json.dumps({"id": answer["id"], "label": 1}).encode()
        assert client.ask(3, told)[0] == 200  # the device knows which model that was
        assert client.ask(3, told, number)[0] == 400  # a label comes once
    status, why = client.ask(1, X[0].tobytes())
    assert status == 400
    assert b"several models, ears, eyes, nose" in why
    assert client.ask(1, X[0].tobytes(), 4)[0] == 404
    client.close()


def test_a_label_for_one_model_is_not_taken_by_another(server: LocalServer) -> None:
    _, answer, _ = ask(server, "/v2/models/eyes/infer", row_request([1, 2, 3, 4]))
    told = {"id": answer["parameters"]["prediction_id"], "label": 1}
    assert ask(server, "/v2/models/ears/feedback", told)[0] == 400
    assert ask(server, "/v2/models/eyes/feedback", told)[0] == 200


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_has_no_part_in_the_server(device: EdgeDevice, tmp_path: Path) -> None:
    server = LocalServer(device, port=0, path=tmp_path / "s")
    with connected(server) as idle:
        assert ask(server, "/v2/health/live")[0] == 200  # so that the idle one was taken, too
        child = os.fork()
        if child == 0:  # pragma: no cover - another process
            server.close()
            os.read(0, 0)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert (tmp_path / "s").exists()
        idle.sendall(b"GET /v2/health/live HTTP/1.1\r\n\r\n")
        assert idle.recv(100).startswith(b"HTTP/1.1 200")
        server.close()
        assert idle.recv(1) == b""
