"""What leaves a hub for those who watch it: the dashboard's metrics, and OpenTelemetry."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
import requests

from cloud_hub.errors import HubFault
from cloud_hub.hub import Hub
from cloud_hub.observability.figures import figures_of
from cloud_hub.observability.metrics import HubMetrics
from cloud_hub.observability.otlp import is_probe, otlp_options
from tests.hub.observability.otlp_receiver import collecting
from tests.servers import HubProcess
from tests.waiting import PATIENCE, wait_for

DASHBOARD = Path(__file__).parents[3] / "deploy" / "grafana" / "edge-hub.json"


def test_every_metric_of_the_dashboard_is_one_of_the_hub(serving: Hub) -> None:
    board = json.loads(DASHBOARD.read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    queries += [str(each["query"]) for each in board["templating"]["list"]]
    asked = set(re.findall(r"\bedge_hub_\w+", " ".join(queries)))
    figures = figures_of(serving, serving.readiness.checks(), time.time())
    told = set(re.findall(r"^# TYPE (\w+)", HubMetrics().text(figures).decode(), re.MULTILINE))
    given = told | {f"{name}_bucket" for name in told} | {f"{name}_total" for name in told}
    assert len(asked) >= 10
    assert asked - given == set()
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))


def test_nothing_is_exported_unless_a_collector_is_named() -> None:
    assert otlp_options({}) == {}
    assert otlp_options({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}) == {}
    assert is_probe({"path": "/readyz"})
    assert not is_probe({"path": "/v1/models"})


def test_a_collector_without_what_speaks_to_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cloud_hub.observability.otlp.NEEDED", ("opentelemetry.not_there",))
    with pytest.raises(HubFault, match="otel"):
        otlp_options({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"})


@pytest.mark.slow
def test_traces_and_gauges_reach_a_collector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="needs the extra [otel]")
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "500")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
    with collecting() as received:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", received.url)
        hub = HubProcess(tmp_path)
        try:
            hub.admin.get("models")
            requests.get(f"{hub.url}/readyz", timeout=PATIENCE)
            wait_for(lambda: "edge_hub_ready" in received.metrics, "a gauge of the hub")
            wait_for(lambda: any("/v1/models" in span for span in received.spans), "a span")
        finally:
            hub.close()
    assert not any("readyz" in span for span in received.spans)
