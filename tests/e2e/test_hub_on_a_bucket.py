"""A hub whose artifacts and metadata are in a bucket, and devices that download from there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from requests import get

from edge_sdk import EdgeDevice
from tests.buckets import BucketServer
from tests.cutting_proxy import CuttingProxy
from tests.e2e.live import PATIENT
from tests.edge.builders import make_release, rows
from tests.servers import HubProcess

pytestmark = pytest.mark.s3
BALLAST = {"body": np.random.default_rng(1).normal(size=150_000).astype(np.float32)}
MODEL_BYTES = 400_000  # some of it as it comes, some compressed


@pytest.fixture
def bucket(buckets: BucketServer) -> Iterator[CuttingProxy]:
    """The way of devices to the bucket, which is cut every now and then."""
    proxy = CuttingProxy(buckets.url, seed=3, mean=200_000)
    yield proxy
    proxy.close()


@pytest.fixture
def hub(buckets: BucketServer, bucket: CuttingProxy, tmp_path: Path) -> Iterator[HubProcess]:
    url = f"{buckets.bucket()}&public_endpoint={bucket.url}"
    hub = HubProcess(tmp_path, artifacts=url)
    yield hub
    hub.close()


def test_devices_update_from_the_bucket_and_model_bytes_never_pass_the_hub(
    hub: HubProcess, bucket: CuttingProxy, tmp_path: Path
) -> None:
    way = CuttingProxy(hub.url)
    release = make_release(tmp_path / "made", "demo", "1.0", ballast=BALLAST)
    hub.admin.publish(release.folder, hub.key, override="test")
    hub.admin.post("models/demo/promote", version="1.0")
    token = hub.token("demo")
    with EdgeDevice(
        tmp_path / "device", hub=way.url, token=token, model="demo", config=PATIENT,
        background=False,
    ) as device:  # fmt: skip
        device.sync()
        assert device.predict(rows(1)[0]).version == "1.0"
        assert bucket.down > MODEL_BYTES > 4 * way.down
        assert bucket.cuts > 0
        hub.kill()
        hub.start()  # what it published is in the bucket
        way.close()
    assert {path.name for path in hub.data.iterdir()}.isdisjoint({"blobs", "forms"})
    assert not (hub.data / "repository" / "metadata").exists()
    path = f"/v1/targets/models/demo/1.0/{release.digest}.manifest.json"
    token = (hub.data / "admin.token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}"}
    sent = get(hub.url + path, headers=headers, allow_redirects=False, timeout=60)
    assert (sent.status_code, sent.content) == (307, b"")
    assert sent.headers["Location"].startswith(bucket.url)
    cost = hub.admin.get("models/demo/cost")["amounts"]
    assert cost["bucket_bytes"] >= (release.folder / "manifest.json").stat().st_size
    assert cost["bytes_sent"] == 0
