"""NVIDIA's client of the protocol, against the real server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from edge_sdk.local_server.server import LocalServer
from tests.edge.builders import rows, softmax

triton = pytest.importorskip(
    "tritonclient.http", reason='tritonclient is not installed: pip install "tritonclient[http]"'
)


@pytest.fixture(scope="module")
def client(server: LocalServer) -> Iterator[Any]:
    client = triton.InferenceServerClient(server.url.removeprefix("http://"))
    yield client
    client.close()


def test_it_finds_server_and_model(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("demo")
    assert client.is_model_ready("demo", "1.0")
    assert not client.is_model_ready("demo", "2.0")
    assert not client.is_model_ready("other")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    index = [{"name": "demo", "version": "1.0", "state": "READY", "reason": ""}]
    assert client.get_model_repository_index() == index
    assert client.get_model_metadata("demo")["inputs"][0]["shape"] == [-1, 4]


@pytest.mark.parametrize("count", [1, 2, 500])
@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
@pytest.mark.parametrize("sent_raw", [True, False])
@pytest.mark.parametrize("wanted", [None, True, False])
def test_every_way_to_ask_has_the_same_answer(
    client: Any, count: int, compression: str | None, sent_raw: bool, wanted: bool | None
) -> None:
    x = rows(count)
    tensor = triton.InferInput("X", list(x.shape), "FP32")
    tensor.set_data_from_numpy(x, binary_data=sent_raw)
    outputs = None
    if wanted is not None:
        names = ("probabilities", "label")
        outputs = [triton.InferRequestedOutput(name, binary_data=wanted) for name in names]
    answer = client.infer(
        "demo", [tensor], outputs=outputs, request_id="7",
        request_compression_algorithm=compression, response_compression_algorithm=compression,
    )  # fmt: skip
    assert answer.get_response()["id"] == "7"
    assert np.allclose(answer.as_numpy("probabilities"), softmax(x, 0), atol=1e-6)
    assert answer.as_numpy("label").tolist() == softmax(x, 0).argmax(axis=1).tolist()


def test_it_reads_the_reason_of_a_refusal(client: Any) -> None:
    from tritonclient.utils import InferenceServerException

    tensor = triton.InferInput("X", [1, 4], "FP64")
    tensor.set_data_from_numpy(rows(1).astype(np.float64))
    with pytest.raises(InferenceServerException, match="expected datatype FP32, got 'FP64'"):
        client.infer("demo", [tensor])
