"""Releases of every kind behind the local server: the answers are those of this process."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from onnx import TensorProto, helper, numpy_helper
from sklearn.linear_model import LogisticRegression
from sklearn.multioutput import MultiOutputClassifier

from converters import convert
from edge_sdk import EdgeDevice
from edge_sdk.contract.manifest import Manifest
from edge_sdk.local_server.datatypes import DATATYPES, to_bytes
from edge_sdk.local_server.server import LocalServer
from tests.conftest import Publish
from tests.converters.builders import MODELS, data_of, model
from tests.edge.builders import rows, softmax
from tests.edge.local_server.asking import FrameClient, ask, row_request, tensors
from tests.servers import HubProcess
from tests.waiting import PATIENCE, wait_for

KINDS = [
    *("scaler and MLP", "text labels", "boolean labels", "no probabilities", "names"),
    *("integers beside fractions", "text column", "boosting with missing values", "ridge"),
    "several targets",
]


def inputs_of(manifest: Manifest, X: Any, raw: bool) -> tuple[dict[str, Any], bytes]:
    """A request with the rows ``X``, and the raw bytes behind it."""
    listed, behind = [], b""
    columns = manifest.signature.columns
    for spec in manifest.signature.application_inputs:
        own = sorted((c for c in columns if c.tensor == spec.name), key=lambda c: c.index)
        if isinstance(X, pd.DataFrame):
            array = np.column_stack([X[c.name].to_numpy(object) for c in own])
        else:
            array = np.column_stack([np.asarray(X)[:, columns.index(c)] for c in own])
        array = array.astype(object if spec.dtype == "string" else spec.dtype)
        entry = {"name": spec.name, "shape": list(array.shape), "datatype": DATATYPES[spec.dtype]}
        if raw:
            data = to_bytes(array)
            listed.append({**entry, "parameters": {"binary_data_size": len(data)}})
            behind += data
        else:
            plain = array.tolist()
            # JSON has no NaN: a missing number is null.
            flat = [[None if v != v else v for v in row] for row in plain]
            listed.append({**entry, "data": flat})
    return {"inputs": listed}, behind


def answered(server: LocalServer, X: Any, manifest: Manifest, raw: bool) -> dict[str, Any]:
    request, behind = inputs_of(manifest, X, raw)
    head = json.dumps(request).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))} if raw else {}
    path = f"/v2/models/{manifest.model}/infer"
    status, answer, _ = ask(server, path, head + behind, headers)
    assert status == 200, answer
    return tensors(answer)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_of_any_kind_answers_as_in_this_process(tmp_path: Path, kind: str) -> None:
    assert kind in MODELS
    X, y = data_of(kind)
    name = "m"
    release = convert(model(kind), X, y, name=name, out=tmp_path / name, variants=["float32"])
    few = X[:3]
    with EdgeDevice.offline(release.folder) as device, LocalServer(device, port=0) as server:
        batch = device.predict_batch(few)
        for raw in (False, True):
            several = answered(server, few, release.manifest, raw)
            one = answered(server, few[:1], release.manifest, raw)
            assert set(several) == set(one)
            own = device.predict(few.iloc[0].to_dict() if hasattr(few, "iloc") else few[0])
            if own.label is not None:
                labels = next(v for k, v in several.items() if "label" in k)
                assert labels == batch.labels.tolist()  # type: ignore[union-attr]
                assert next(v for k, v in one.items() if "label" in k) == [own.label]
            if own.probabilities is not None:
                shares = [np.ravel(batch.probabilities), own.probabilities]
            elif own.value is not None:
                shares = [np.ravel(batch.values), np.ravel(own.value)]
            else:
                continue
            for expected, given in zip(shares, (several, one), strict=True):
                found = next(v for k, v in given.items() if "label" not in k)
                assert np.allclose(found, expected, atol=1e-6)


def test_several_labels_come_as_scores(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(300, 4))
    Y = (X[:, :3] > 0).astype(int)
    fitted = MultiOutputClassifier(LogisticRegression()).fit(X, Y)
    release = convert(fitted, X, Y, name="m", out=tmp_path / "m", variants=["float32"])
    with EdgeDevice.offline(release.folder) as device, LocalServer(device, port=0) as server:
        given = answered(server, X[:1], release.manifest, raw=False)
        own = device.predict(X[0]).probabilities
        assert own is not None
        assert np.allclose(next(iter(given.values())), own, atol=1e-6)


@pytest.fixture
def adder(tmp_path: Path) -> Iterator[EdgeDevice]:
    """Gives the sum of all inputs of a sequence."""
    shape, kind = [1, 2], TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "sum"], ["next"]),
         helper.make_node("Mul", ["next", "one"], ["y"])],
        "adder",
        [helper.make_tensor_value_info(name, kind, shape) for name in ("x", "sum")],
        [helper.make_tensor_value_info(name, kind, shape) for name in ("y", "next")],
        [numpy_helper.from_array(np.ones((1, 2), np.float32), "one")],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    (tmp_path / "m.onnx").write_bytes(made.SerializeToString())
    x = [{"x": np.ones((1, 2), np.float32)}]
    release = convert(
        tmp_path / "m.onnx", x, name="m", out=tmp_path / "m", state={"sum": "next"},
        output="values", batched=False,
    )  # fmt: skip
    with EdgeDevice.offline(release.folder) as device:
        yield device


def test_sequences_of_clients_do_not_mix(adder: EdgeDevice) -> None:
    with LocalServer(adder, port=0) as server:

        def step(value: float, **parameters: Any) -> tuple[int, Any]:
            tensor = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [value, value]}
            request = {"inputs": [tensor], "parameters": parameters}
            status, answer, _ = ask(server, "/v2/models/m/infer", request)
            return status, tensors(answer)["y"] if status == 200 else answer["error"]

        assert step(1.0)[0] == 400
        assert step(1.0, sequence_id=1)[1].endswith("begin it with sequence_start")
        assert step(1.0, sequence_id=1, sequence_start=True) == (200, [1.0, 1.0])
        assert step(5.0, sequence_id="b", sequence_start=True) == (200, [5.0, 5.0])
        assert step(2.0, sequence_id=1) == (200, [3.0, 3.0])
        assert step(1.0, sequence_id="b") == (200, [6.0, 6.0])
        assert step(2.0, sequence_id=1, sequence_end=True) == (200, [5.0, 5.0])
        assert step(2.0, sequence_id=1)[0] == 400
        for number in range(2, 1_100):
            step(0.0, sequence_id=number, sequence_start=True)
        assert step(1.0, sequence_id="b")[0] == 400  # the oldest makes room


def test_a_device_of_a_fleet_serves_takes_updates_and_reports(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    token = hub.token("served")
    with (
        EdgeDevice(
            tmp_path / "d", hub=hub.url, token=token, model="served", background=False
        ) as device,
        LocalServer(device, port=0, path=tmp_path / "s") as server,
    ):
        frames = FrameClient(tmp_path / "s")
        path, x = "/v2/models/served/infer", rows(1)
        assert ask(server, "/v2/health/live")[0] == 200
        status, answer, _ = ask(server, "/v2/health/ready")
        assert (status, answer["ready"], list(answer["waits"])) == (400, False, ["served"])
        status, answer, _ = ask(server, path, row_request(x[0].tolist()))
        assert (status, "nothing serves" in answer["error"]) == (503, True)
        assert frames.ask(1, x[0].tobytes())[0] == 503
        publish("served", "1.0")
        device.sync()
        assert ask(server, "/v2/health/ready")[0] == 200
        _, answer, _ = ask(server, path, row_request(x[0].tolist()))
        assert answer["model_version"] == "1.0"
        publish("served", "2.0", seed=5)
        device.sync()
        _, answer, _ = ask(server, path, row_request(x[0].tolist()))
        assert answer["model_version"] == "2.0"
        assert np.allclose(tensors(answer)["probabilities"], softmax(x, 5)[0], atol=1e-6)
        assert frames.row(x[0].tobytes())["version"] == "2.0"
        text = ask(server, "/metrics")[1].decode()
        assert 'edge_device_release_info{model="served",version="2.0"' in text
        frames.close()


@contextlib.contextmanager
def serve_command(state: Path, *words: object) -> Iterator[str]:
    """``edge serve`` as a process of its own; its URL."""
    command = [sys.executable, "-m", "edge_sdk.cli.main", "serve", state, "--port", "0", *words]
    with subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
            assert process.wait(PATIENCE) == 0


def test_a_device_that_another_process_runs_is_served_and_found_again(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("fast", seed=1)
    publish("slow", seed=2)
    token = hub.admin.post("enrolment-tokens", model=["fast", "slow"])["token"]
    state, x = tmp_path / "d", rows(1)
    path, asked = "/v2/models/slow/infer", row_request(x[0].tolist())
    owner = EdgeDevice(state, hub=hub.url, token=token)
    with serve_command(state, "--socket", tmp_path / "s") as url:
        for name, seed in (("fast", 1), ("slow", 2)):
            _, answer, _ = ask(url, f"/v2/models/{name}/infer", asked)
            assert np.allclose(tensors(answer)["probabilities"], softmax(x, seed)[0], atol=1e-6)
        told = {"id": answer["parameters"]["prediction_id"], "label": 1}
        assert ask(url, "/v2/models/slow/feedback", told)[0] == 200
        _, several, _ = ask(url, path, row_request(rows(3).ravel().tolist(), (3, 4)))
        assert np.shape(tensors(several)["label"]) == (3,)
        client = FrameClient(tmp_path / "s")
        assert client.row(x[0].tobytes(), 2)["version"] == "1.0"
        client.close()

        many = rows(40)
        with ThreadPoolExecutor(40) as pool:
            found = list(pool.map(lambda r: ask(url, path, row_request(r.tolist()))[1], many))
        assert [tensors(each)["label"][0] for each in found] == softmax(many, 2).argmax(1).tolist()

        publish("slow", "2.0", seed=5)
        owner.sync()
        wait_for(
            lambda: ask(url, "/v2/models/slow")[1]["versions"] == ["2.0"], "the served version"
        )
        assert ask(url, "/v2/models/slow/feedback", told)[0] == 400

        owner.close()
        assert ask(url, path, asked)[0] == 503
        assert ask(url, "/v2/health/live")[0] == 200
        assert "edge_server_requests_total" in ask(url, "/metrics")[1].decode()
        wait_for(lambda: ask(url, "/v2/health/ready")[0] == 400, "not to be ready")
        with EdgeDevice(state, hub=hub.url):
            assert ask(url, path, asked)[0] == 200
            assert ask(url, "/v2/health/ready")[0] == 200


def test_the_command_owns_a_device_that_nobody_runs(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("owned")
    state = tmp_path / "d"
    with EdgeDevice(state, hub=hub.url, token=hub.token("owned"), model="owned"):
        pass
    with serve_command(state) as url, EdgeDevice.attach(state) as device:
        p = device.predict(rows(1)[0])
        told = {"id": p.id, "label": 1}
        assert ask(url, "/v2/models/owned/feedback", told)[0] == 200
