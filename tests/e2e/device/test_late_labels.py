"""How late a label may come: the bounds of docs/INPUTS.md, each at the last one and one beyond."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edge_sdk import EdgeDevice
from edge_sdk.contract.messages import FeedbackReport
from edge_sdk.errors import InputError
from edge_sdk.fleet.device_model import DeviceModel
from edge_sdk.telemetry.label_store import STORED
from edge_sdk.telemetry.monitor import PENDING
from tests.conftest import Publish
from tests.e2e.live import PATIENT
from tests.edge.builders import make_release, rows
from tests.servers import HubProcess

AT_ONCE = 4_096
"""Predictions after which they are folded, as the telemetry thread does."""


def asked(device: EdgeDevice, model: EdgeDevice | DeviceModel, count: int) -> list[str]:
    """Ids of ``count`` predictions."""
    row, ids = rows(1)[0], []
    for i in range(count):
        ids.append(model.predict(row).id)
        if i % AT_ONCE == 0:
            device._fold()
    device._fold()
    return ids


def is_known(model: EdgeDevice | DeviceModel, prediction: str) -> bool:
    """Whether a label finds its prediction."""
    try:
        model.feedback(prediction, label=1)
    except InputError as error:
        if error.kind != "unknown_prediction":
            raise
        return False
    return True


def test_in_one_process_a_label_finds_the_last_65_536_predictions(tmp_path: Path) -> None:
    assert PENDING == 65_536  # what the docs say
    with EdgeDevice.offline(make_release(tmp_path).folder, background=False) as device:
        ids = asked(device, device, PENDING + 1)
        assert [is_known(device, ids[at]) for at in (0, 1, -1)] == [False, True, True]
        (report,) = [b for b in device.reports() if isinstance(b, FeedbackReport)]
    assert (report.labelled, report.unmatched) == (2, 1)


@pytest.mark.parametrize("kept", [0, 1, 50])
def test_after_a_restart_it_finds_the_newest_so_many_of_a_window(
    hub: HubProcess, publish: Publish, tmp_path: Path, kept: int
) -> None:
    model = f"kept-{kept}"
    publish(model)
    opening = {
        "hub": hub.url, "token": hub.token(model), "model": model, "background": False,
        "config": replace(PATIENT, kept_predictions=kept),
    }  # fmt: skip
    with EdgeDevice(tmp_path / "d", **opening) as device:
        ids = asked(device, device, 60)
    with EdgeDevice(tmp_path / "d", **opening) as device:
        found = [is_known(device, each) for each in ids]
        assert found == [False] * (60 - kept) + [True] * kept
        if kept:
            with pytest.raises(InputError, match="has its label or reward already"):
                device.feedback(ids[-1], label=1)
    with EdgeDevice(tmp_path / "d", **opening) as device:  # known through the next restart, too
        if kept:
            with pytest.raises(InputError, match="has its label or reward already"):
                device.feedback(ids[-1], label=1)


def test_after_a_restart_the_newest_20_000_of_all_models_are_left(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    assert STORED == 20_000  # what the docs say
    publish("early")
    publish("late")
    opening = {
        "hub": hub.url, "background": False, "config": replace(PATIENT, kept_predictions=12_000),
        "token": hub.admin.post("enrolment-tokens", model=["early", "late"])["token"],
    }  # fmt: skip
    with EdgeDevice(tmp_path / "d", **opening) as device:
        early, late = (asked(device, device.model(name), 12_000) for name in ("early", "late"))
    with EdgeDevice(tmp_path / "d", **opening) as device:
        of_early, of_late = device.model("early"), device.model("late")
        assert [is_known(of_early, early[at]) for at in (3_999, 4_000, -1)] == [False, True, True]
        assert [is_known(of_late, late[at]) for at in (0, -1)] == [True, True]
        assert is_known(device, early[4_001])  # the device knows whose each is
