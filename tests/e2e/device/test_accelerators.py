"""A device with OpenVINO at a real hub: what it may take, what gives up, what the hub learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from edge_sdk import EdgeDevice
from edge_sdk.contract.names import CPU
from edge_sdk.errors import ReleaseError
from edge_sdk.model.release import Release
from tests.conftest import Publish
from tests.e2e.live import PATIENT
from tests.edge.builders import rows, variant_of
from tests.model_folder import model_folder
from tests.servers import HubProcess

OPENVINO = "OpenVINOExecutionProvider"
HALF = variant_of("half")
OWN = variant_of("own", OPENVINO)
pytestmark = [
    pytest.mark.openvino,
    pytest.mark.skipif(
        OPENVINO not in onnxruntime.get_available_providers(),
        reason="needs onnxruntime-openvino, in an environment of its own; .ci/run makes one",
    ),
]


def opened(hub: HubProcess, state: Path, model: str, *providers: Any) -> EdgeDevice:
    return EdgeDevice(
        state, hub=hub.url, token=hub.token(model), model=model, config=PATIENT,
        background=False, providers=providers or None,
    )  # fmt: skip


def held(state: Path, release: Release) -> set[str]:
    return {path.name for path in (model_folder(state) / "releases" / release.digest).iterdir()}


def told(hub: HubProcess, model: str) -> list[tuple[str, str | None, str | None]]:
    events = hub.admin.get(f"models/{model}/telemetry")["events"]
    return [(e["outcome"], e["step"], e["reason"]) for e in events]


def test_a_device_takes_files_for_the_providers_that_it_has_and_more_when_it_has_more(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    release = publish("more", alternatives=(OWN,))
    with opened(hub, tmp_path / "d", "more") as device:
        assert (device.status()["variant"], device.status()["provider"]) == ("float32", CPU)
    assert not {*OWN.files} & held(tmp_path / "d", release)
    with opened(hub, tmp_path / "d", "more", OPENVINO) as device:
        assert (device.status()["variant"], device.status()["provider"]) == ("float32", OPENVINO)
        assert device.status()["nodes"] == {OPENVINO: 2}
        assert device.sync().update == "repaired"
        assert {*OWN.files} <= held(tmp_path / "d", release)
        names = [(t["variant"], t["provider"]) for t in device.status()["choice"]["trials"]]
        assert names == [("float32", OPENVINO), ("own", OPENVINO)]
        assert device.predict(rows(1)[0]).version == "1.0"
        device.sync()
    (seen,) = hub.admin.get("devices", model="more")
    assert seen["software"]["provider"] == OPENVINO
    assert seen["software"]["onnxruntime"] == onnxruntime.__version__


def test_a_provider_that_gives_up_is_an_event_and_another_variant_serves(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("gives-up", alternatives=(HALF,), defect="misfit", spare_defect="misfit")
    with opened(hub, tmp_path / "d", "gives-up", OPENVINO) as device:
        before = device.status()["variant"]
        bad = rows(1)[0]
        bad[0] = 200
        for _ in range(PATIENT.trial_errors):
            with pytest.raises(ReleaseError, match="the model failed"):
                device.predict(bad)
        device._fold()
        after = device.status()
        assert {before, after["variant"]} == {"float32", "half"}
        assert after["version"] == "1.0"
        assert device.predict(rows(1)[0]).source == "model"
        device.sync()
    (event,) = [each for each in told(hub, "gives-up") if each[0] == "fell_back"]
    assert event[1] == "choice"
    assert f"{before} on OpenVINO gave up" in (event[2] or "")
    assert "gave up while it served: the model failed on 3 inputs" in (event[2] or "")


def test_a_plan_takes_an_accelerator_from_devices_and_gives_it_back(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("planned", alternatives=(OWN,))
    policy = b"providers: [CUDAExecutionProvider]\n"
    with opened(hub, tmp_path / "d", "planned", OPENVINO, CPU) as device:
        trials = device.status()["choice"]["trials"]
        assert {trial["provider"] for trial in trials} == {OPENVINO, CPU}
        hub.admin.put("models/planned/policy", policy)
        device.sync()
        status = device.status()
        assert {trial["provider"] for trial in status["choice"]["trials"]} == {CPU}
        assert status["provider"] == CPU
        assert device.predict(rows(1)[0]).version == "1.0"
