"""Files of a device's state damaged, one at a time; ``make state-damage`` has them all."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_sdk import EdgeDevice
from edge_sdk.errors import ReleaseError
from edge_sdk.system.kept_copy import Kept
from tests.campaigns.state_damage import AWAY, run
from tests.conftest import Publish
from tests.e2e.live import PATIENT
from tests.edge.builders import rows
from tests.model_folder import model_folder
from tests.servers import HubProcess


def test_no_damaged_file_makes_a_wrong_answer_another_device_or_a_lower_floor(
    hub: HubProcess, tmp_path: Path
) -> None:
    cases = list(run(hub, tmp_path, every=23))
    assert len(cases) > 7
    assert [case for case in cases if case.faults] == []


def test_without_another_release_and_without_the_hub_the_error_names_the_file_and_the_cure(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("alone")
    state = tmp_path / "d"

    def opened(url: str) -> EdgeDevice:
        return EdgeDevice(
            state,
            hub=url,
            token=hub.token("alone"),
            model="alone",
            config=PATIENT,
            background=False,
        )

    opened(hub.url).close()
    (model,) = state.glob("releases/*/model.onnx")
    raw = bytearray(model.read_bytes())
    raw[100] ^= 1
    model.write_bytes(raw)
    named = r"model.onnx: expected SHA-256.*the next sync"
    with opened(AWAY) as device, pytest.raises(ReleaseError, match=named):
        device.predict(rows(1)[0])
    with opened(hub.url) as device:
        assert device.predict(rows(1)[0]).version == "1.0"


def test_a_file_that_is_damaged_while_it_serves_is_replaced_and_the_hub_is_told(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    release = publish("ageing")
    with EdgeDevice(
        tmp_path / "d", hub=hub.url, token=hub.token("ageing"), model="ageing", config=PATIENT,
        background=False,
    ) as device:  # fmt: skip
        folder = model_folder(tmp_path / "d") / "releases" / release.digest
        (folder / "model.onnx").write_bytes(b"x" * (folder / "model.onnx").stat().st_size)
        assert device._service.serving is not None
        while device._service.serving.scrub.step():
            pass
        assert "model.onnx" in device.status()["damaged"]["1.0"]
        assert device.sync().update == "repaired"
        assert device.status()["damaged"] == {}
        assert (folder / "model.onnx").read_bytes() == release.model_path.read_bytes()
        assert device.predict(rows(1)[0]).version == "1.0"
        device.sync()
    (event,) = [
        e for e in hub.admin.get("models/ageing/telemetry")["events"] if e["outcome"] == "failed"
    ]
    assert (event["step"], "model.onnx" in event["reason"]) == ("check", True)


def test_a_copy_with_any_bit_flipped_is_no_copy() -> None:
    raw = Kept(3, {"trust_floors": '{"root": 4}', "hub": '"http://h"'}).to_bytes()
    assert Kept.from_bytes(raw).generation == 3
    for bit in range(0, 8 * len(raw), 3):
        damaged = bytearray(raw)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            other = Kept.from_bytes(bytes(damaged))
        except ValueError:
            continue
        assert other == Kept.from_bytes(raw)  # white space
