"""Connections that are cut at random bytes: how much comes twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_sdk import EdgeDevice
from tests.conftest import Publish
from tests.cutting_proxy import CuttingProxy
from tests.e2e.live import PATIENT
from tests.servers import HubProcess

MODEL_BYTES = 600_000
SYNCS = 60


def cost_of_update(hub: HubProcess, state: Path, model: str, seed: int, mean: int) -> CuttingProxy:
    """A device that has 1.0 follows the plan to 1.1; the proxy has counted the bytes."""
    proxy = CuttingProxy(hub.url, seed=seed)
    token = hub.token(model)
    hub.admin.post(f"models/{model}/promote", version="1.0")
    with EdgeDevice(
        state, hub=proxy.url, token=token, model=model, config=PATIENT, background=False
    ) as device:
        hub.admin.post(f"models/{model}/promote", version="1.1")
        proxy.reset()
        proxy.mean = mean
        assert device._link is not None
        device._link.client.__init__(proxy.url, timeout=5)  # connections anew
        device._link.client.authorise(device._link.identity.token)
        for _ in range(SYNCS):
            if device.sync().update == "activated":
                break
        assert device.status()["version"] == "1.1"
    proxy.close()
    return proxy


@pytest.mark.parametrize("mean", [10_000, 30_000, 100_000])
def test_cut(hub: HubProcess, publish: Publish, tmp_path: Path, mean: int) -> None:
    publish(f"cut-{mean}")
    publish(f"cut-{mean}", "1.1", seed=5, padding=MODEL_BYTES, promote=False)
    whole = cost_of_update(hub, tmp_path / "w", f"cut-{mean}", 0, 0)
    for seed in range(3):
        cut = cost_of_update(hub, tmp_path / f"c{seed}", f"cut-{mean}", seed, mean)
        again = (cut.down + cut.up) / (whole.down + whole.up) - 1
        print(mean, seed, whole.down, whole.up, cut.down, cut.up, cut.cuts, f"{again:.3f}")
