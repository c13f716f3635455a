"""A hub whose folder has its secrets alone, as a pod has: tables and artifacts are elsewhere."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_hub.hub import initialise
from cloud_hub.settings import Settings
from edge_sdk import EdgeDevice
from tests.buckets import CREDENTIALS, BucketServer
from tests.edge.builders import make_release, rows
from tests.postgres import Cluster, running_cluster
from tests.servers import HubProcess
from tests.waiting import PATIENCE, wait_for


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    yield from running_cluster()


def with_secrets(made: Path, folder: Path) -> Path:
    """What the manifests' first container does: copy keys and tokens into an empty folder."""
    (folder / "hub" / "keys").mkdir(parents=True)
    for key in ("online.pem", "releases.pem"):
        shutil.copy(made / "keys" / key, folder / "hub" / "keys")
    for token in made.glob("*.token"):
        shutil.copy(token, folder / "hub")
    return folder


@pytest.mark.s3
@pytest.mark.slow
def test_pods_with_their_secrets_alone_migrate_serve_and_go_on_for_each_other(
    cluster: Cluster, buckets: BucketServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    database, bucket = cluster.database(), buckets.bucket()
    initialise(Settings(tmp_path / "made", database, artifacts=bucket))
    job = with_secrets(tmp_path / "made", tmp_path / "job") / "hub"
    upgrade = ["-m", "cloud_hub.cli.main", "db", "upgrade", str(job), "--database", database]
    subprocess.run([sys.executable, *upgrade], check=True, timeout=PATIENCE)

    def pod(name: str, tick: float) -> HubProcess:
        folder = with_secrets(tmp_path / "made", tmp_path / name)
        return HubProcess(folder, tick=tick, database=database, artifacts=bucket, made=True)

    leader, worker = pod("leader", 0.2), pod("worker", 0.0)
    try:
        release = make_release(tmp_path / "release", "demo", "1.0")
        worker.admin.publish(release.folder, worker.key, override="test")
        worker.admin.post("models/demo/promote", version="1.0")
        token = worker.token("demo")
        with EdgeDevice(
            tmp_path / "device", hub=worker.url, token=token, model="demo", background=False
        ) as device:
            assert device.predict(rows(1)[0]).source == "model"
        worker.kill()
        worker.close()  # and the pod that comes for it has an empty folder again
        worker = pod("next", 0.0)
        with EdgeDevice(
            tmp_path / "device", hub=worker.url, model="demo", background=False
        ) as device:
            assert device.sync().errors == {}
        wait_for(lambda: leader.admin.get("health")["leader"], "a leader")
    finally:
        leader.close()
        worker.close()
