"""The Open Inference Protocol over HTTP: every answer is the one that the device gives itself."""

from __future__ import annotations

import gzip
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sdk import EdgeDevice
from edge_sdk.contract.groups import GroupColumn
from edge_sdk.contract.messages import FeedbackReport, WindowReport
from edge_sdk.local_server.datatypes import to_bytes
from edge_sdk.local_server.server import LocalServer
from edge_sdk.model.keys import Canonicaliser
from edge_sdk.model.release import Release
from edge_sdk.packs.writer import write_pack
from tests.edge.builders import make_release, rows, softmax
from tests.edge.local_server.asking import INFER, ask, row_request, tensors


def test_server_and_model_say_what_they_are(server: LocalServer) -> None:
    assert ask(server, "/v2/health/live")[:2] == (200, {"live": True})
    assert ask(server, "/v2/health/ready")[:2] == (200, {"ready": True})
    status, about, _ = ask(server, "/v2")
    assert (status, about["name"]) == (200, "edge-deployment-sdk")
    assert "binary_tensor_data" in about["extensions"]
    for path in ("/v2/models/demo", "/v2/models/demo/versions/1.0"):
        status, about, _ = ask(server, path)
        assert status == 200
        assert about["inputs"] == [{"name": "X", "datatype": "FP32", "shape": [-1, 4]}]
        assert [o["name"] for o in about["outputs"]] == ["label", "probabilities"]
        assert about["classes"] == [0, 1, 2]
        assert ask(server, f"{path}/ready")[0] == 200


@pytest.mark.parametrize(
    "path",
    ["/v2/models/other", "/v2/models/other/ready", "/v2/models/demo/versions/2.0/ready",
     "/v2/models/demo/else", "/v2/models/", "/", "/v3", "/v2/models/demo/versions"],
)  # fmt: skip
def test_what_is_not_here_is_not_found(server: LocalServer, path: str) -> None:
    status, answer, _ = ask(server, path)
    assert (status, list(answer)) == (404, ["error"])
    assert ask(server, "/v2/models/other/infer", row_request([1, 2, 3, 4]))[0] == 404


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("path", [INFER, "/v2/models/demo/versions/1.0/infer"])
def test_a_row_in_json_is_answered_as_in_this_process(
    server: LocalServer, device: EdgeDevice, path: str, nested: bool
) -> None:
    for row in rows(20):
        values = [row.tolist()] if nested else row.tolist()
        status, answer, _ = ask(server, path, row_request(values, id="mine"))
        own = device.predict(row)
        assert (status, answer["id"], answer["model_version"]) == (200, "mine", "1.0")
        assert tensors(answer) == {
            "label": [own.label],
            "probabilities": own.probabilities.tolist(),
        }
        assert answer["parameters"]["confidence"] == own.confidence
        assert answer["parameters"]["source"] == "model"


def test_raw_bytes_go_both_ways(server: LocalServer) -> None:
    x = rows(5)
    size = {"binary_data_size": x.nbytes}
    tensor = {"name": "X", "shape": [5, 4], "datatype": "FP32", "parameters": size}
    for length in range(8):  # the tensor begins at any offset: its numbers need not be aligned
        head = json.dumps(
            {"inputs": [tensor], "parameters": {"binary_data_output": True}, "id": "x" * length}
        ).encode()
        given = {"Inference-Header-Content-Length": str(len(head))}
        status, body, headers = ask(server, INFER, head + x.tobytes(), given)
        assert (status, headers["content-type"]) == (200, "application/octet-stream")
        end = int(headers["inference-header-content-length"])
        answer = json.loads(body[:end])
        labels, shares = np.frombuffer(body[end : end + 40], "<i8"), body[end + 40 :]
        assert np.array_equal(labels, softmax(x, 0).argmax(axis=1))
        assert np.allclose(np.frombuffer(shares, "<f4").reshape(5, 3), softmax(x, 0), atol=1e-6)
        sizes = [o["parameters"]["binary_data_size"] for o in answer["outputs"]]
        assert sizes == [40, 60]


def test_outputs_are_those_that_are_asked_for(server: LocalServer) -> None:
    wanted = [{"name": "probabilities", "parameters": {"binary_data": True}}]
    status, body, headers = ask(server, INFER, row_request([1, 2, 3, 4], outputs=wanted))
    end = int(headers["inference-header-content-length"])
    assert [o["name"] for o in json.loads(body[:end])["outputs"]] == ["probabilities"]
    assert len(body) == end + 12
    status, answer, _ = ask(server, INFER, row_request([1, 2, 3, 4], outputs=[{"name": "label"}]))
    assert (status, list(tensors(answer))) == (200, ["label"])


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_bodies_may_be_compressed_both_ways(server: LocalServer, coding: str) -> None:
    pack = {"gzip": gzip.compress, "deflate": zlib.compress}[coding]
    unpack = {"gzip": gzip.decompress, "deflate": zlib.decompress}[coding]
    x = rows(200)
    body = pack(json.dumps(row_request(x.ravel().tolist(), x.shape)).encode())
    given = {"Content-Encoding": coding, "Accept-Encoding": coding}
    status, content, headers = ask(server, INFER, body, given)
    assert (status, headers["content-encoding"]) == (200, coding)
    answer = json.loads(unpack(content))
    assert np.allclose(tensors(answer)["probabilities"], softmax(x, 0).ravel(), atol=1e-6)


def test_several_rows_are_a_batch_with_ids_for_those_who_want_them(
    server: LocalServer, device: EdgeDevice
) -> None:
    x = rows(3)
    request = row_request(x.tolist(), x.shape, parameters={"prediction_ids": True})
    _, answer, _ = ask(server, INFER, request)
    given = tensors(answer)
    assert given["label"] == softmax(x, 0).argmax(axis=1).tolist()
    for name in given["prediction_ids"]:
        status, _, _ = ask(server, "/v2/models/demo/feedback", {"id": name, "label": 1})
        assert status == 200
    assert "prediction_ids" not in tensors(ask(server, INFER, row_request(x.tolist(), x.shape))[1])


def test_late_labels_and_groups_are_reported_as_those_of_this_process(tmp_path: Path) -> None:
    columns = [GroupColumn("region", ("eu", "us"))]
    folder = make_release(tmp_path, groups=columns).folder
    with EdgeDevice.offline(folder) as device, LocalServer(device, port=0) as server:
        x = rows(110)
        for row in x[:10]:
            request = row_request(row.tolist(), parameters={"group.region": "eu"})
            _, answer, _ = ask(server, INFER, request)
            name = answer["parameters"]["prediction_id"]
            told = {"id": name, "label": tensors(answer)["label"][0]}
            assert ask(server, "/v2/models/demo/feedback", told)[0] == 200
            status, refusal, _ = ask(server, "/v2/models/demo/feedback", told)
            assert (status, list(refusal)) == (400, ["error"])  # once is enough
        for groups in ("eu", ["eu"] * 100):
            parameters = {"group.region": groups}
            request = row_request(x[10:].tolist(), (100, 4), parameters=parameters)
            assert ask(server, INFER, request)[0] == 200
        messages = device.reports()
    (report,) = [m for m in messages if isinstance(m, WindowReport)]
    assert report.predictions == {"model": 210}
    assert report.groups["region"]["eu"].observations == 210
    (outcomes,) = [m for m in messages if isinstance(m, FeedbackReport)]
    assert (outcomes.labelled, outcomes.correct) == (10, 10)


def test_a_pack_answers_first(release: Release, tmp_path: Path) -> None:
    x, canonicaliser = rows(1)[0], Canonicaliser(release.manifest.signature)
    key = np.frombuffer(canonicaliser.key(x.tobytes()), np.uint8)[None]
    stored = np.array([[0.25, 0.5, 0.25]], np.float32)
    write_pack(tmp_path / "p", release, key, {"probabilities": stored}, answered_by="test")
    with (
        EdgeDevice.offline(release.folder, pack=tmp_path / "p") as device,
        LocalServer(device, port=0) as server,
    ):
        _, answer, _ = ask(server, INFER, row_request(x.tolist()))
        assert answer["parameters"]["source"] == "pack"
        assert tensors(answer) == {"label": [1], "probabilities": [0.25, 0.5, 0.25]}


def test_answers_that_are_no_numbers_are_null(tmp_path: Path) -> None:
    folder = make_release(tmp_path, defect="nan").folder
    with EdgeDevice.offline(folder) as device, LocalServer(device, port=0) as server:
        _, answer, _ = ask(server, INFER, row_request([1, 2, 3, 4]))
        assert tensors(answer)["probabilities"] == [None] * 3
        assert "confidence" not in answer["parameters"]


def test_a_model_that_fails_is_the_servers_fault_and_said(tmp_path: Path) -> None:
    folder = make_release(tmp_path, defect="crash").folder
    with EdgeDevice.offline(folder) as device, LocalServer(device, port=0) as server:
        status, answer, _ = ask(server, INFER, row_request([1, 2, 3, 4]))
        assert status == 500
        assert "the model failed" in answer["error"]
        assert ask(server, "/v2/health/ready")[0] == 200


def test_a_web_page_that_is_named_may_ask(device: EdgeDevice) -> None:
    page = {"Origin": "http://localhost:3000"}
    with LocalServer(device, port=0, origins=[page["Origin"] + "/"]) as server:
        status, _, headers = ask(server, INFER, row_request([1, 2, 3, 4]), page)
        assert (status, headers["access-control-allow-origin"]) == (200, page["Origin"])
        status, _, headers = ask(server, INFER, headers=page, method="OPTIONS")
        assert status == 200
        assert "POST" in headers["access-control-allow-methods"]
        assert ask(server, INFER, row_request([1, 2, 3, 4]), {"Origin": "http://evil"})[0] == 403


def test_head_has_no_body_and_lengths_of_bytes_texts_are_little_endian(server: LocalServer) -> None:
    assert ask(server, "/v2/health/live", method="HEAD")[:2] == (200, b"")
    x = rows(2)
    request = row_request(x.tolist(), x.shape, parameters={"prediction_ids": True})
    request["outputs"] = [{"name": "prediction_ids", "parameters": {"binary_data": True}}]
    _, body, headers = ask(server, INFER, request)
    raw = body[int(headers["inference-header-content-length"]) :]
    (length,) = struct.unpack_from("<I", raw)
    assert raw[4 : 4 + length].decode().endswith(".0")


@pytest.mark.parametrize("dtype", [object, "<U3"])
def test_raw_texts_have_their_lengths_however_numpy_keeps_them(dtype: Any) -> None:
    texts = np.array(["a", "äb"], dtype)
    assert to_bytes(texts) == b"\x01\0\0\0a" + b"\x03\0\0\0\xc3\xa4b"
