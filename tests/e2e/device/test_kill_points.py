"""SIGKILL at every step of an update: a whole release serves, and the update completes."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest

from edge_sdk import EdgeDevice
from edge_sdk.model.release import Release
from edge_sdk.update.state import ORDER
from tests.conftest import Publish
from tests.e2e.live import PATIENT, publish_plan, trial
from tests.edge.builders import rows, softmax
from tests.model_folder import model_folder
from tests.processes.ready import run_ready
from tests.servers import HubProcess

SEEDS = {"1.0": 0, "1.1": 7}


@pytest.mark.parametrize("step", ORDER[:-1])
def test_a_device_killed_at_a_step_comes_back_whole_and_then_completes(
    hub: HubProcess, publish: Publish, tmp_path: Path, step: str
) -> None:
    model, state = f"kill-{step}", tmp_path / "d"
    publish(model)
    token = hub.token(model)
    with EdgeDevice(state, hub=hub.url, token=token, model=model, config=PATIENT, background=False):
        pass
    publish(model, "1.1", seed=SEEDS["1.1"])
    words = ["-m", "tests.e2e.device.killed", state, hub.url, "", model, step]
    killed = run_ready("device", words)
    assert killed.returncode == -signal.SIGKILL

    with EdgeDevice(state, hub="http://127.0.0.1:9", config=PATIENT, background=False) as device:
        version = device.predict(rows(1)[0]).version
        assert version == ("1.0" if step in ("download", "verify", "stage", "probe") else "1.1")
        answered = np.stack([device.predict(row).probabilities for row in rows(20)])
        assert np.allclose(answered, softmax(rows(20), SEEDS[version]), atol=1e-6)
    for folder in (model_folder(state) / "releases").iterdir():
        if not folder.name.startswith("."):
            Release.open(folder)

    with EdgeDevice(state, hub=hub.url, config=PATIENT, background=False) as device:
        device.sync()
        assert device.status()["version"] == "1.1"
    events = hub.admin.get(f"models/{model}/telemetry")["events"]
    assert [e["version"] for e in events if e["outcome"] == "activated"] == ["1.0", "1.1"]


@pytest.mark.parametrize("step", [step for step in ORDER[:-1] if step != "activate"])
def test_a_device_killed_while_it_fetches_a_shadow_serves_on_and_then_runs_it(
    hub: HubProcess, publish: Publish, tmp_path: Path, step: str
) -> None:
    model, state = f"kill-held-{step}", tmp_path / "d"
    publish(model)
    token = hub.token(model)
    with EdgeDevice(state, hub=hub.url, token=token, model=model, config=PATIENT, background=False):
        pass
    other = publish(model, "1.1", seed=SEEDS["1.1"], promote=False)
    publish_plan(hub, model, experiment=trial("shadow", other))
    words = ["-m", "tests.e2e.device.killed", state, hub.url, "", model, step]
    killed = run_ready("device", words)
    assert killed.returncode == -signal.SIGKILL

    with EdgeDevice(state, hub="http://127.0.0.1:9", config=PATIENT, background=False) as device:
        answered = np.stack([device.predict(row).probabilities for row in rows(20)])
        assert np.allclose(answered, softmax(rows(20), SEEDS["1.0"]), atol=1e-6)
        here = {"b": "1.1"} if step in ("commit", "cleanup") else {}
        assert device.status()["beside"] == here
    with EdgeDevice(state, hub=hub.url, config=PATIENT, background=False) as device:
        assert device.sync().errors == {}
        assert (device.status()["version"], device.status()["beside"]) == ("1.0", {"b": "1.1"})
