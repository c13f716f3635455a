"""A hub is saved while its fleet reports, lost, and made of its backup: the fleet goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from cloud_hub.backup.restoring import RestoreOptions, open_backup, restore
from cloud_hub.backup.saving import SavingOptions, save
from cloud_hub.database.engine import connect
from cloud_hub.settings import Settings
from cloud_hub.telemetry.tables import messages
from edge_sdk import EdgeDevice
from tests.buckets import BucketServer
from tests.campaigns.report_kills import Connection, reporting_devices
from tests.e2e.live import PATIENT
from tests.edge.builders import make_release, rows
from tests.postgres import Cluster, running_cluster
from tests.servers import HubProcess
from tests.waiting import wait_for

WITH_KEYS = SavingOptions(secrets=True, passphrase="correct horse")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    yield from running_cluster()


def device_of(folder: Path, hub: HubProcess, **more: Any) -> EdgeDevice:
    options: dict[str, Any] = {"config": PATIENT, "background": False, "model": "demo"} | more
    return EdgeDevice(folder / "device", hub=hub.url, **options)


def restored(folder: Path, backup: Path, database: str | None, artifacts: str | None) -> HubProcess:
    settings = Settings(folder / "hub", database, artifacts=artifacts)
    restore(open_backup(backup), settings, RestoreOptions(passphrase="correct horse"))
    return HubProcess(folder, database=database, artifacts=artifacts, made=True)


def stored(settings: Settings, device: str) -> set[int]:
    engine = connect(settings)
    with engine.connect() as db:
        names = select(messages.c.sequence).where(messages.c.device == device)
        found = set(db.execute(names).scalars())
    engine.dispose()
    return found


def lost_and_made_again(
    tmp_path: Path, database: str | None = None, artifacts: str | None = None
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    before = Settings(old / "hub", tick_seconds=0)
    hub = HubProcess(old)
    reporters = [Connection(hub, *each) for each in reporting_devices(hub, before, old)]
    token = hub.token("demo")
    with device_of(tmp_path, hub, token=token) as device:
        device.sync()
        assert device.predict(rows(1)[0]).version == "1.0"
    wait_for(lambda: all(each.acknowledged for each in reporters), "reports of each device")
    acknowledged = {each.device: set(each.acknowledged) for each in reporters}
    save(before, tmp_path / "backup", WITH_KEYS)
    # What comes now is lost with the hub. The device sees it, and must not be lost with it.
    release = make_release(tmp_path / "later", "demo", "1.1", seed=2)
    hub.admin.publish(release.folder, hub.key, override="test")
    hub.admin.post("models/demo/promote", version="1.1")
    with device_of(tmp_path, hub) as device:
        device.sync()
        assert device.predict(rows(1)[0]).version == "1.1"
    for each in reporters:
        each.finish()
    hub.kill()
    again = restored(new, tmp_path / "backup", database, artifacts)
    after = Settings(new / "hub", database, artifacts=artifacts)
    try:
        for name, sequences in acknowledged.items():
            assert sequences <= stored(after, name)
        with device_of(tmp_path, again) as device:
            device.sync()
            assert device.predict(rows(1)[0]).version == "1.0"
            other = make_release(tmp_path / "other", "demo", "1.1", seed=3)
            again.admin.publish(other.folder, again.key, override="test")
            again.admin.post("models/demo/promote", version="1.1")
            device.sync()
            assert device.predict(rows(1)[0]).version == "1.1"
    finally:
        again.close()
        hub.close()


def test_a_fleet_goes_on_with_a_hub_made_of_a_backup(tmp_path: Path) -> None:
    lost_and_made_again(tmp_path)


@pytest.mark.s3
def test_a_backup_of_a_folder_becomes_a_server_and_a_bucket(
    tmp_path: Path, cluster: Cluster, buckets: BucketServer
) -> None:
    lost_and_made_again(tmp_path, cluster.database(), buckets.bucket())
