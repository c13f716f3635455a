"""A device whose inputs moved, a real hub, and edge-hub monitor on top."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import requests

from cloud_hub.cli.main import main
from edge_sdk import EdgeDevice
from edge_sdk.contract.groups import GroupColumn
from tests.conftest import Publish
from tests.e2e.live import PATIENT
from tests.edge.builders import rows
from tests.servers import HubProcess
from tests.waiting import PATIENCE, wait_for

POLICY = """
model: watched
reporting:
  window: 1s
  minimum_observations: 100
monitoring:
  minimum: 100
  outputs: false
  grace: 0s
"""


def edge_hub(hub: HubProcess, *words: str) -> int:
    return main([*words, "--data", str(hub.data)])


def test_a_drift_is_shown_explained_acknowledged_and_kept(
    hub: HubProcess, publish: Publish, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish("watched")
    (tmp_path / "policy.yaml").write_text(POLICY)
    assert edge_hub(hub, "policy", "apply", str(tmp_path / "policy.yaml")) == 0
    _report_until_alarm(hub, tmp_path)
    capsys.readouterr()
    assert edge_hub(hub, "monitor", "status", "watched") == 0
    assert "! drift:f1" in capsys.readouterr().out
    assert edge_hub(hub, "monitor", "acknowledge", "watched", "drift:f1") == 0
    assert "is acknowledged" in capsys.readouterr().out
    assert edge_hub(hub, "monitor", "acknowledge", "watched", "drift:nothing") == 1
    assert "no signal 'drift:nothing'" in capsys.readouterr().err
    words = ("monitor", "history", "watched", "--signal", "drift:f1", "--since", "1h", "--json")
    assert edge_hub(hub, *words) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows[-1]["alarming"]
    assert hub.admin.get("models/watched/monitor/alarms", everything=True)[0]["acknowledged_by"]


def _report_until_alarm(hub: HubProcess, folder: Path) -> None:
    token = hub.token("watched")
    random = np.random.default_rng(0)
    with EdgeDevice(
        folder / "device",
        hub=hub.url,
        token=token,
        model="watched",
        config=PATIENT,
        background=False,
    ) as device:

        def signals() -> set[str]:
            for row in random.standard_normal((300, 4)).astype(np.float32):
                row[1] += 1.5
                device.predict(row)
            device.sync()
            return {a["signal"] for a in hub.admin.get("models/watched/monitor/alarms")}

        wait_for(lambda: "drift:f1" in signals(), "the alarm", every=0.6)


def test_monitoring_is_for_administrators(hub: HubProcess) -> None:
    for path in ("", "/history", "/alarms"):
        url = f"{hub.url}/v1/models/any/monitor{path}"
        assert requests.get(url, timeout=PATIENCE).status_code == 401
    assert edge_hub(hub, "monitor", "status", "nobody") == 1


def test_a_group_that_is_served_worse_is_found_over_the_network_and_shown(
    hub: HubProcess, publish: Publish, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish("unfair", groups=[GroupColumn("sex", values=("f", "m"))])
    (tmp_path / "policy.yaml").write_text(POLICY.replace("watched", "unfair"))
    assert edge_hub(hub, "policy", "apply", str(tmp_path / "policy.yaml")) == 0
    with EdgeDevice(
        tmp_path / "device",
        hub=hub.url,
        token=hub.token("unfair"),
        model="unfair",
        config=PATIENT,
        background=False,
    ) as device:

        def signals() -> set[str]:
            for i, row in enumerate(rows(400)):
                p = device.predict(row, groups={"sex": "fm"[i % 2]})
                wrong = i % 4 == 0  # every second one of the f
                device.feedback(p.id, label=(p.label + wrong) % 3)
            device.sync()
            return {a["signal"] for a in hub.admin.get("models/unfair/monitor/alarms")}

        wait_for(lambda: "fairness:sex" in signals(), "the alarm", every=0.6)
    capsys.readouterr()
    assert edge_hub(hub, "monitor", "status", "unfair") == 0
    said = capsys.readouterr().out
    assert "! fairness:sex" in said
    assert "best=m worst=f" in said
    assert re.search(r"\n +f +n=\d+ rate=0\.\d", said)
