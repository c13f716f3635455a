"""``/metrics``, read by Prometheus' own parser."""

from __future__ import annotations

from typing import Any

import pytest

from edge_sdk import EdgeDevice
from edge_sdk.local_server.server import LocalServer
from edge_sdk.local_server.server_metrics import ServerMetrics
from tests.edge.local_server.asking import INFER, ask, row_request

parser = pytest.importorskip(
    "prometheus_client.parser", reason="Prometheus' parser is in the extra [test]"
)


def samples(text: str) -> dict[tuple[str, tuple[Any, ...]], float]:
    found = {}
    for family in parser.text_string_to_metric_families(text):
        assert family.documentation
        assert family.type in ("counter", "gauge", "histogram"), family
        for each in family.samples:
            found[each.name, tuple(sorted(each.labels.items()))] = each.value
    return found


def test_what_was_asked_is_counted(device: EdgeDevice) -> None:
    with LocalServer(device, port=0) as server:
        for _ in range(3):
            ask(server, INFER, row_request([1, 2, 3, 4]))
        ask(server, INFER, row_request([1, 2, 3, 4] * 2, (2, 4)))
        ask(server, INFER, b"nonsense")
        status, text, headers = ask(server, "/metrics")
    assert (status, headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    found = samples(text.decode())
    requests = "edge_server_requests_total"
    assert found[requests, (("protocol", "http"), ("status", "200"))] == 4
    assert found[requests, (("protocol", "http"), ("status", "400"))] == 1
    assert found["edge_server_predictions_total", (("model", "demo"), ("source", "model"))] == 5
    assert found["edge_server_inference_seconds_count", ()] == 4
    assert found["edge_server_inference_seconds_bucket", (("le", "+Inf"),)] == 4
    assert found["edge_device_ready", (("model", "demo"),)] == 1
    release = (("model", "demo"), ("variant", "float32"), ("version", "1.0"))
    assert found["edge_device_release_info", release] == 1
    assert found["edge_device_resident_memory_bytes", ()] > 1 << 20


def test_a_device_without_a_release_and_names_with_quotes_are_well_formed() -> None:
    metrics = ServerMetrics()
    odd = 'a"b\\c\n'
    models = {odd: {"version": "1.0", "variant": None}, "new": {"version": None}}
    found = samples(metrics.text(0, {"models": models, "waiting": 7}))
    assert found["edge_device_ready", (("model", "new"),)] == 0
    assert found["edge_device_ready", (("model", odd),)] == 1
    assert found["edge_device_messages_waiting", ()] == 7
    labels = (("model", odd), ("variant", ""), ("version", "1.0"))
    assert found["edge_device_release_info", labels] == 1
    assert samples(metrics.text(0, {}))["edge_server_connections", ()] == 0
