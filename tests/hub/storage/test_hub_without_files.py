"""A whole hub on a store that has no folder: nothing goes past the protocol."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from cloud_hub.data.dataset import Dataset
from cloud_hub.database.records import EnrolledDevice
from cloud_hub.features.table import FeatureTable
from cloud_hub.hub import initialise, open_hub
from cloud_hub.settings import Settings
from cloud_hub.storage.artifact_store import read
from cloud_hub.storage.stores import ArtifactStores
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.messages import KeyVotes, Message, Upload
from edge_sdk.model.keys import Canonicaliser
from edge_sdk.model.release import Release
from tests.edge.builders import make_release, rows
from tests.hub.storage.memory_store import MemoryStore
from tests.simulated_device import vouched


def test_releases_packs_and_features_are_published_from_any_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = ArtifactStores(MemoryStore(), MemoryStore(), MemoryStore())
    monkeypatch.setattr("cloud_hub.hub.open_stores", lambda settings: stores)
    settings = Settings(tmp_path / "hub", tick_seconds=0)
    initialise(settings)
    hub = open_hub(settings)
    try:
        release = make_release(tmp_path / "made")
        hub.registry.publish(release, actor="ci", training_state=b"state")
        hub.plans.promote("demo", "1.0", actor="ann", reason="first")
        assert Release.open(hub.registry.release("demo", "1.0").folder).digest == release.digest
        assert hub.registry.training_state("demo", "1.0") == b"state"
        hub.datasets.add("demo", "catalogue", Dataset.of(rows(5), None), actor="test")
        hub.registry.set_policy("demo", "packs: {every: 1s, minimum_devices: 1}\n", "ann")
        canonicaliser = Canonicaliser(release.manifest.signature)
        voters = vouched(hub, 2)
        for number in (1, 2):  # the second pack is published with a delta from the first
            keys = tuple(canonicaliser.key(row.tobytes()).hex() for row in rows(5)[: 2 + number])
            votes = KeyVotes("demo", "1.0", int(time.time()) // 300 * 300, keys)
            message = Message("b", number, "votes", to_plain(votes))
            hub.telemetry.ingest(EnrolledDevice(voters[number - 1], ("demo",)), Upload((message,)))
            assert hub.packs.build("demo", time.time()) is not None
        hub.features.put("demo", FeatureTable(("a",), {"f0": (1.0,)}, {"f0": 0.0}), actor="ann")
        hub.forms.make()
        assert hub.forms.records("demo")
    finally:
        hub.close()
    again = open_hub(settings)  # its repository finds every target
    try:
        listed = again.repository.releases().signed.targets
        stored = [name for name in stores.targets.list() if not name.startswith("plans/")]
        assert len(listed) == len(stored) == 5 + 2 + 1  # release, packs, features
        assert all(read(stores.targets, name) for name in stored)
    finally:
        again.close()
    assert not (settings.data / "blobs").exists()
    assert not (settings.data / "repository" / "targets").exists()
    assert not (settings.data / "forms").exists()
