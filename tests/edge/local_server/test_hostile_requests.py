"""Whatever a client sends, it gets one sentence, and the next client gets an answer."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk import EdgeDevice
from edge_sdk.local_server.limits import ServerLimits
from edge_sdk.local_server.server import LocalServer
from tests.edge.local_server.asking import INFER, ask, row_request, said

GOOD = row_request([1, 2, 3, 4])
SMALL = 100_000


@pytest.fixture(scope="module")
def server(device: EdgeDevice) -> Iterator[LocalServer]:
    with LocalServer(device, port=0, limits=ServerLimits(body_bytes=SMALL)) as server:
        yield server


def tensor(**changes: Any) -> dict[str, Any]:
    return {"inputs": [{**GOOD["inputs"][0], **changes}]}


WRONG: list[tuple[Any, str]] = [
    (b"", "no JSON"),
    (b"\xff\xfe", "no JSON"),
    (b"[" * 90_000, "no JSON"),
    (b"[]", "expected a JSON object"),
    ({}, "expected 'X'"),
    ({"inputs": {}}, "expected a list"),
    ({"inputs": [[]]}, "expected a list"),
    ({"inputs": GOOD["inputs"] * 2}, "there twice"),
    ({**GOOD, "id": 7}, "id: expected a text"),
    ({**GOOD, "parameters": []}, "parameters: expected"),
    ({**GOOD, "outputs": [{"name": "nope"}]}, "outputs: expected some of"),
    ({**GOOD, "outputs": [{"name": "label", "parameters": {"classification": 1}}]}, "extension"),
    ({**GOOD, "parameters": {"binary_data_output": 1}}, "true or false"),
    ({**GOOD, "parameters": {"unit": 7}}, "unit"),
    ({**GOOD, "parameters": {"deadline_ms": -1}}, "deadline"),
    ({"inputs": [], "parameters": {"entity": "user-1"}}, "features"),
    ({**GOOD, "parameters": {"entity": "user-1", "feature.f0": 1.0}}, "without inputs"),
    (tensor(name="Y"), "expected some of ['X']"),
    (tensor(name=[]), "expected some of ['X']"),
    (tensor(datatype="FP64"), "expected datatype FP32"),
    (tensor(datatype=None), "expected datatype FP32"),
    (tensor(shape=None), "expected a shape"),
    (tensor(shape=[1, -4]), "expected a shape"),
    (tensor(shape=[True, 4]), "expected a shape"),
    (tensor(shape=[1.0, 4]), "expected a shape"),
    (tensor(shape=[1] * 100), "expected a shape"),
    (tensor(shape=[2**62, 2**62]), "values for shape"),
    (tensor(shape=[10**30]), "expected a shape"),
    (tensor(shape=[2, 2]), "expected rows of 4 features"),
    (tensor(shape=[1, 2, 2]), "expected shape [-1, 4]"),
    (tensor(shape=[0, 4], data=[]), "at least one row"),
    (tensor(shape=[2**62, 2**62, 0], data=[]), "expected a smaller shape"),
    ({**tensor(shape=[2**40, 0], data=[]), "parameters": {"group.x": "a"}}, "rows of none"),
    (tensor(shape=[1, 3], data=[1, 2, 3]), "4 features"),
    (tensor(data=[1, 2, 3]), "expected 4 values"),
    (tensor(data="1234"), "JSON array"),
    (tensor(data=None), "JSON array"),
    (tensor(data=[1, 2, 3, "4"]), "expected values of FP32"),
    (tensor(data=[1, 2, 3, True]), "expected values of FP32"),
    (tensor(data=[[1, 2], [3]]), "expected 4 values"),
    (tensor(data=[[1, 2], 3]), "nested evenly"),
    (tensor(data=[1, 2, 3, 1e39]), "expected float32"),
    (tensor(data=[1, 2, 3, 10**400]), "too large"),
    (tensor(data=[1, 2, 3, None]), "'f3': expected a finite number"),
    (tensor(parameters={"binary_data_size": 16}), "got both"),
    (tensor(parameters={"shared_memory_region": "x"}), "extension"),
]


@pytest.mark.parametrize(("body", "sentence"), WRONG)
def test_a_wrong_request_is_refused_with_what_is_wrong(
    server: LocalServer, body: Any, sentence: str
) -> None:
    status, answer, _ = ask(server, INFER, body)
    assert (status, list(answer)) == (400, ["error"])
    assert sentence in answer["error"]
    assert len(answer["error"]) < 400
    assert ask(server, INFER, GOOD)[0] == 200


@pytest.mark.parametrize(
    ("size", "length", "raw", "sentence"),
    [
        (16, "-1", 16, "expected a number"),
        (16, "x", 16, "expected a number"),
        (16, "9" * 40, 16, "expected a number"),
        (16, "99999", 16, "expected JSON of at most"),
        (17, None, 17, "expected 16 bytes"),
        (16, None, 20, "expected 16 raw bytes"),
        (2**70, None, 16, "binary_data_size"),
        (-1, None, 16, "binary_data_size"),
        ("16", None, 16, "binary_data_size"),
    ],
)
def test_wrong_lengths_of_raw_bytes_are_refused(
    server: LocalServer, size: Any, length: str | None, raw: int, sentence: str
) -> None:
    entry = {"name": "X", "shape": [1, 4], "datatype": "FP32"}
    head = json.dumps({"inputs": [{**entry, "parameters": {"binary_data_size": size}}]}).encode()
    headers = {"Inference-Header-Content-Length": length or str(len(head))}
    status, answer, _ = ask(server, INFER, head + bytes(raw), headers)
    assert status == 400
    assert sentence in answer["error"]


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET / HTTP/2\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 400),
        (b"GET /v2 HTTP/1.1\nHost: localhost\r\n\r\n", 400),
        (b"GET /v2 HTTP/1.1\r\nHost : localhost\r\n\r\n", 400),
        (b"GET /v2 HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n", 400),
        (b"POST /v2 HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", 400),
        (b"POST /v2 HTTP/1.1\r\nContent-Length: +1\r\n\r\nx", 400),
        (b"POST /v2 HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\nx", 400),
        (b"POST /v2 HTTP/1.1\r\nContent-Length: \x0b1\r\n\r\nx", 400),
        (b"POST /v2 HTTP/1.1\r\nContent-Length\0: 1\r\n\r\nx", 400),
        (b"POST /v2 HTTP/1.1\r\nContent\tLength: 1\r\n\r\nx", 400),
        (b"GET /v2 HTTP/1.1\r\nX: 1\r\n Host: evil\r\n\r\n", 400),
        (b"GET /v2 HTTP/1.1\r\n" + b"Content-Encoding: gzip\r\n" * 2 + b"\r\n", 400),
        (
            b"GET /v2 HTTP/1.1\r\n" + b"Inference-Header-Content-Length: 2\r\n" * 2 + b"\r\n",
            400,
        ),
        (b"POST /v2 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (
            b"POST /v2 HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: identity\r\n\r\nx",
            411,
        ),
        (b"POST /v2 HTTP/1.1\r\nContent-Length: 999999999\r\n\r\n" + bytes(500_000), 413),
        (b"GET /v2 HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"x" * 50_000, 431),
        (b"DELETE /v2 HTTP/1.1\r\n\r\n", 405),
        (b"GET /v2/models/demo/infer HTTP/1.1\r\n\r\n", 405),
        (b"GET http://evil.example/v2 HTTP/1.1\r\n\r\n", 404),
        (b"GET /v2 HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
        (b"GET /v2 HTTP/1.1\r\nHost: 127.0.0.1.evil.example\r\n\r\n", 421),
        (b"GET /v2 HTTP/1.1\r\nHost: 0.0.0.0:8080\r\n\r\n", 421),
        (b"GET /v2 HTTP/1.1\r\nOrigin: http://127.0.0.1:8080\r\n\r\n", 403),
        (b"GET /v2 HTTP/1.1\r\nOrigin: null\r\n\r\n", 403),
    ],
)
def test_a_request_that_is_no_plain_http_is_refused(
    server: LocalServer, raw: bytes, status: int
) -> None:
    answer = said(server, raw)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:200]
    assert b'{"error": ' in answer
    assert ask(server, "/v2/health/live")[0] == 200


@pytest.mark.parametrize(
    ("body", "coding", "status"),
    [
        (gzip.compress(bytes(50_000_000)), "gzip", 413),
        (gzip.compress(json.dumps(GOOD).encode())[:-9], "gzip", 400),
        (gzip.compress(json.dumps(GOOD).encode()) + b"x", "gzip", 400),
        (gzip.compress(json.dumps(GOOD).encode()) + gzip.compress(b" "), "gzip", 400),
        (b"no gzip at all", "gzip", 400),
        (b"{}", "br", 415),
        (b"{}", "gzip, gzip", 415),
    ],
    ids=["a bomb", "cut", "more behind it", "another behind it", "none", "brotli", "twice"],
)
def test_compressed_bodies_are_bounded(
    server: LocalServer, body: bytes, coding: str, status: int
) -> None:
    assert len(body) < SMALL
    assert ask(server, INFER, body, {"Content-Encoding": coding})[0] == status


def test_requests_behind_one_another_are_answered_in_order(server: LocalServer) -> None:
    body = json.dumps(GOOD).encode()
    one = b"POST %s HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (INFER.encode(), len(body), body)
    last = b"GET /v2/health/live HTTP/1.0\r\n\r\n"
    answer = said(server, one * 5 + last)
    assert answer.count(b"HTTP/1.1 200 OK") == 6
    assert answer.endswith(b'{"live": true}')


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)
FIELDS = st.sampled_from(["name", "shape", "datatype", "data", "parameters"])


@settings(max_examples=150)
@given(changes=st.dictionaries(FIELDS, JSON, max_size=3), parameters=JSON, outputs=JSON)
def test_no_json_is_a_fault_of_the_server(
    server: LocalServer, changes: dict[str, Any], parameters: Any, outputs: Any
) -> None:
    body = {**tensor(**changes), "parameters": parameters, "outputs": outputs}
    status, answer, _ = ask(server, INFER, body)
    assert status in (200, 400), answer


@settings(max_examples=60)
@given(told=st.dictionaries(st.sampled_from(["id", "label", "reward", "clicks"]), JSON))
def test_no_feedback_is_a_fault_of_the_server(server: LocalServer, told: dict[str, Any]) -> None:
    status, answer, _ = ask(server, "/v2/models/demo/feedback", told)
    assert status == 400, answer


NAMED = st.sampled_from(["entity", "unit", "deadline_ms", "group.x", "feature.f0", "sequence_id"])


@settings(max_examples=100)
@given(parameters=st.dictionaries(NAMED, JSON), rows=st.integers(0, 2))
def test_no_parameter_is_a_fault_of_the_server(
    server: LocalServer, parameters: dict[str, Any], rows: int
) -> None:
    body = row_request([1, 2, 3, 4] * rows, (rows, 4), parameters=parameters)
    if not rows:
        body["inputs"] = []
    status, answer, _ = ask(server, INFER, body)
    assert status in (200, 400), answer
