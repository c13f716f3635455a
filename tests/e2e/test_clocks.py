"""A device whose clock is an hour off."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from edge_sdk import EdgeDevice
from tests.conftest import Publish
from tests.e2e.live import ALONE
from tests.edge.builders import rows
from tests.servers import HubProcess

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("model", "off", "reason"),
    [("ahead", 3_600.0, "starts in the future"), ("behind", -3_600.0, "before this device joined")],
)
def test_a_device_whose_clock_is_an_hour_off_follows_the_hub_which_tells_of_it(
    hub: HubProcess, publish: Publish, tmp_path: Path, model: str, off: float, reason: str
) -> None:
    publish(model)
    with EdgeDevice(
        tmp_path / "d", hub=hub.url, token=hub.token(model), model=model, config=ALONE,
        clock=lambda: time.time() + off,
    ) as device:  # fmt: skip
        assert device.predict(rows(1)[0]).version == "1.0"
        publish(model, "1.1", seed=5)
        assert device.sync().errors == {}
        assert device.predict(rows(1)[0]).version == "1.1"
    # Its windows are of hours that are not: they count for nobody, and its owner is told.
    (found,) = hub.admin.get("devices", model=model)
    (flag,) = found["flags"]
    assert (found["version"], found["health"]) == ("1.1", "healthy")
    assert flag["kind"] == "clock"
    assert reason in flag["reason"]
    assert hub.admin.get(f"models/{model}/telemetry")["windows"] == []
