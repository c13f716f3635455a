"""The Open Inference Protocol of a real hub, asked by NVIDIA's client, curl and others."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import requests

from edge_sdk import EdgeDevice
from edge_sdk.model.release import Release
from tests.edge.builders import make_release, rows, softmax
from tests.servers import HubProcess
from tests.waiting import PATIENCE

DOCS = Path(__file__).parents[3] / "docs"


class Asked(NamedTuple):
    hub: HubProcess
    release: Release
    headers: dict[str, str]

    def ask(self, path: str, body: Any = None, **headers: str) -> requests.Response:
        raw = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        method = "GET" if raw is None else "POST"
        return requests.request(
            method, f"{self.hub.url}/v2{path}", data=raw, headers=self.headers | headers,
            timeout=PATIENCE,
        )  # fmt: skip


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """A hub with two versions of ``demo``, of which 1.0 serves, with ``other``, and a caller."""
    folder = tmp_path_factory.mktemp("hub")
    hub = HubProcess(folder, tick=0)
    release = make_release(folder)
    for made in (
        release,
        make_release(folder, version="2.0", seed=5),
        make_release(folder, "other"),
    ):
        hub.admin.publish(made.folder, hub.key, override="test")
    for model in ("demo", "other"):
        hub.admin.post(f"models/{model}/promote", version="1.0")
    hub.admin.post("people", name="shop", role="caller", kind="service", model="demo")
    token = hub.admin.post("access-tokens", name="web", of="shop")["token"]
    yield Asked(hub, release, {"Authorization": f"Bearer {token}"})
    hub.close()


@pytest.fixture(scope="module")
def client(asked: Asked) -> Iterator[Any]:
    triton = pytest.importorskip(
        "tritonclient.http",
        reason='tritonclient is not installed: pip install "tritonclient[http]"',
    )
    client = triton.InferenceServerClient(asked.hub.url.removeprefix("http://"))
    yield client
    client.close()


def tensor(x: Any, datatype: str = "FP32", **more: Any) -> dict[str, Any]:
    shape = list(np.shape(x))
    data = np.asarray(x).ravel().tolist()
    return {"inputs": [{"name": "X", "datatype": datatype, "shape": shape, "data": data}], **more}


def test_tritons_client_finds_server_and_models(client: Any, asked: Asked) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("demo", headers=asked.headers)
    assert client.is_model_ready("demo", "2.0", headers=asked.headers)
    assert not client.is_model_ready("demo", "3.0", headers=asked.headers)
    assert not client.is_model_ready("other", headers=asked.headers)
    about = client.get_server_metadata(headers=asked.headers)
    assert "binary_tensor_data" in about["extensions"]
    index = [{"name": "demo", "version": "1.0", "state": "READY", "reason": ""}]
    assert client.get_model_repository_index(headers=asked.headers) == index
    inputs = client.get_model_metadata("demo", headers=asked.headers)["inputs"]
    assert inputs == [{"name": "X", "datatype": "FP32", "shape": [-1, 4]}]


@pytest.mark.parametrize("count", [1, 300])
@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("binary", [True, False])
def test_tritons_client_gets_the_answer_of_a_device(
    client: Any, asked: Asked, count: int, compression: str | None, binary: bool
) -> None:
    from tritonclient.http import InferInput, InferRequestedOutput

    x = rows(count)
    sent = InferInput("X", list(x.shape), "FP32")
    sent.set_data_from_numpy(x, binary_data=binary)
    wanted = [InferRequestedOutput(n, binary_data=binary) for n in ("probabilities", "label")]
    answer = client.infer(
        "demo", [sent], outputs=wanted, request_id="7", headers={**asked.headers},
        request_compression_algorithm=compression, response_compression_algorithm=compression,
    )  # fmt: skip
    assert answer.get_response()["model_version"] == "1.0"
    assert answer.get_response()["id"] == "7"
    with EdgeDevice.offline(asked.release.folder) as device:
        here = device.predict_batch(x)
    assert np.array_equal(answer.as_numpy("probabilities"), here.probabilities)
    assert np.array_equal(answer.as_numpy("label"), here.labels)


def test_a_version_is_the_named_one_or_the_one_that_the_plan_promotes(asked: Asked) -> None:
    x = rows(1)
    for version, seed in ((None, 0), ("1.0", 0), ("2.0", 5)):
        path = "/models/demo" + (f"/versions/{version}" if version else "") + "/infer"
        answer = asked.ask(path, tensor(x)).json()
        assert answer["model_version"] == (version or "1.0")
        scores = next(o["data"] for o in answer["outputs"] if o["name"] == "probabilities")
        assert np.allclose(scores, softmax(x, seed)[0], atol=1e-6)
    named = asked.ask("/models/demo/versions/latest/infer", tensor(x)).json()
    assert named["model_version"] == "2.0"
    unknown = asked.ask("/models/demo/versions/3.0/infer", tensor(x))
    assert unknown.status_code == 404
    assert unknown.json()["error"].startswith("demo 3.0: not published")


def test_many_who_ask_at_once_each_get_their_own_answer(asked: Asked) -> None:
    inputs = [rows(1 + number % 3, seed=number) for number in range(40)]

    def ask(x: Any) -> list[float]:
        outputs = asked.ask("/models/demo/infer", tensor(x)).json()["outputs"]
        return next(o["data"] for o in outputs if o["name"] == "probabilities")  # type: ignore[no-any-return]

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(ask, inputs))
    for x, scores in zip(inputs, found, strict=True):
        assert np.allclose(np.reshape(scores, (-1, 3)), softmax(x, 0), atol=1e-6)


REFUSED: dict[str, tuple[Any, dict[str, str], int, str]] = {
    "no JSON": (b"{", {}, 400, "expected a JSON object"),
    "another datatype": (tensor(rows(1), "FP64"), {}, 400, "expected datatype FP32, got 'FP64'"),
    "too few features": (tensor(rows(1)[:, :3]), {}, 400, "expected"),
    "no input": ({"inputs": []}, {}, 400, "inputs: expected 'X'"),
    "an unknown output": (
        tensor(rows(1), outputs=[{"name": "y"}]), {}, 400, "outputs: expected some of"
    ),
    "an entity": (tensor(rows(1), parameters={"entity": "e"}), {}, 400, "ask edge serve"),
    "damaged gzip": (b"noise", {"Content-Encoding": "gzip"}, 400, "damaged"),
    "a bomb": (
        gzip.compress(b" " * (17 << 20)), {"Content-Encoding": "gzip"}, 413, "decompressed"
    ),
    "too many rows": (tensor(np.zeros((65_537, 4))), {}, 413, "at most 65536 rows"),
    "too much": (b" " * ((16 << 20) + 1), {}, 413, "expected at most"),
    "another coding": (b"{}", {"Content-Encoding": "br"}, 415, "expected a body in gzip"),
    "a length that is none": (
        b"{}", {"Inference-Header-Content-Length": "x"}, 400, "expected a number"
    ),
    "a longer head than body": (
        b"{}", {"Inference-Header-Content-Length": "9"}, 400, "expected JSON of at most 2 bytes"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_as_the_protocol_has_it(asked: Asked, case: str) -> None:
    body, headers, status, reason = REFUSED[case]
    answer = asked.ask("/models/demo/infer", body, **headers)
    assert answer.status_code == status, answer.text
    assert reason in answer.json()["error"]


def test_a_caller_asks_its_models_and_sees_nothing_else(asked: Asked) -> None:
    other = asked.ask("/models/other/infer", tensor(rows(1)))
    assert other.status_code == 404
    assert "no such model among those of shop" in other.json()["error"]
    get = {"headers": asked.headers, "timeout": PATIENCE}
    for path in ("/v1/models", "/v1/models/demo/versions", "/v1/audit", "/v1/events", "/v1/people"):
        answer = requests.get(f"{asked.hub.url}{path}", **get)  # type: ignore[arg-type]
        assert answer.status_code == 403, path
    # Nor what is shown to whoever is known at all.
    for path in ("/openapi.json", "/metrics", "/v1/releases"):
        answer = requests.get(f"{asked.hub.url}{path}", **get)  # type: ignore[arg-type]
        assert answer.status_code in (401, 403), path
    health = requests.get(f"{asked.hub.url}/v1/health", **get)  # type: ignore[arg-type]
    assert health.json() == {"ok": True}


def test_a_caller_has_no_page(asked: Asked) -> None:
    asked.hub.admin.post("people", name="cal", role="caller")
    token = asked.hub.admin.post("access-tokens", name="web", of="cal")["token"]
    answer = requests.post(
        f"{asked.hub.url}/sign-in", data={"token": token}, timeout=PATIENCE,
        headers={"Origin": asked.hub.url}, allow_redirects=False,
    )  # fmt: skip
    assert answer.status_code == 403
    assert "is a caller, who asks models and sees no page" in answer.text
    assert "Set-Cookie" not in answer.headers


def test_who_shows_no_token_or_a_wrong_one_asks_nothing(asked: Asked) -> None:
    for headers in ({}, {"Authorization": "Bearer hub_wrong"}):
        answer = requests.post(
            f"{asked.hub.url}/v2/models/demo/infer", json=tensor(rows(1)), headers=headers,
            timeout=PATIENCE,
        )  # fmt: skip
        assert answer.status_code == 401
        assert "error" in answer.json()


def test_answered_rows_are_counted_by_model(asked: Asked) -> None:
    token = (asked.hub.data / "metrics.token").read_text().strip()

    def counted() -> float:
        text = requests.get(
            f"{asked.hub.url}/metrics", headers={"Authorization": f"Bearer {token}"},
            timeout=PATIENCE,
        ).text  # fmt: skip
        name = 'edge_hub_inference_rows_total{asker="caller",model="demo"}'
        return sum(float(line.split()[1]) for line in text.splitlines() if line.startswith(name))

    before = counted()
    assert asked.ask("/models/demo/infer", tensor(rows(3))).status_code == 200
    assert counted() == before + 3


def test_the_example_with_curl_gets_an_answer(asked: Asked, tmp_path: Path) -> None:
    page = (DOCS / "INFERENCE.md").read_text()
    block = page.partition("```sh\n")[2].partition("```")[0]
    token = asked.headers["Authorization"].removeprefix("Bearer ")
    done = subprocess.run(
        ["bash", "-euc", block], capture_output=True, text=True, timeout=PATIENCE, cwd=tmp_path,
        env={**os.environ, "HUB": asked.hub.url, "TOKEN": token, "MODEL": "demo"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert '"model_name":"demo"' in done.stdout
    assert '"name":"probabilities"' in done.stdout
