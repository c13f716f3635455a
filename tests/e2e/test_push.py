"""A device that waits at its hub: a new plan is there at once, and other things go on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cloud_hub.cli.main import main
from edge_sdk import EdgeDevice
from tests.conftest import Publish
from tests.e2e.live import PATIENT
from tests.edge.builders import rows
from tests.servers import HubProcess
from tests.waiting import wait_for

pytestmark = pytest.mark.slow

WAITING = replace(PATIENT, sync_seconds=86_400.0, push=True)
"""A device that would look for news tomorrow."""


def test_a_push_reaches_a_connected_device_at_once_a_rollback_and_a_question_too(
    hub: HubProcess, publish: Publish, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish("pushed")
    with EdgeDevice(
        tmp_path / "d",
        hub=hub.url,
        token=hub.token("pushed"),
        model="pushed",
        config=replace(WAITING, logs=True),
    ) as device:
        assert device.predict(rows(1)[0]).version == "1.0"
        for version in ("1.1", "1.2"):
            publish("pushed", version, seed=5)
            wait_for(lambda v=version: device.predict(rows(1)[0]).version == v, "the push")
        hub.admin.post("models/pushed/rollback", reason="enough")
        wait_for(lambda: device.predict(rows(1)[0]).version == "1.1", "the way back")
        # What it is asked reaches it as soon: no sync of its own is due before tomorrow.
        name = device.status()["device"]
        ask = [name, "--wait", "5m", "--data", str(hub.data)]
        assert main(["devices", "sync", *ask]) == 0
        assert main(["devices", "logs", *ask]) == 0
        assert "INFO" in capsys.readouterr().out
        # The application is in charge meanwhile: its own sync does not wait for the thread's.
        assert device.sync().errors == {}
