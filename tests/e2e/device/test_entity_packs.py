"""Answers by entity from a real hub to a real device: shares, deltas, restarts, and no room."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from edge_sdk import EdgeDevice
from edge_sdk.contract.entity_index import EntityIndex, index_in_force
from edge_sdk.contract.manifest import FileRef
from edge_sdk.contract.messages import UpdateEvent
from tests.clock import Clock
from tests.conftest import Publish
from tests.e2e.live import ALONE, told
from tests.edge.builders import rows, softmax
from tests.hub.batch.shop import users
from tests.model_folder import model_folder
from tests.servers import HubProcess, Proxy
from tests.waiting import wait_for

POLICY = """
batch:
  users:
    source: {parquet: %s}
    entity: user
    attributes: [region]
    entities: region
    default: 2
"""


class Shop:
    """A model at the hub whose users' answers devices hold."""

    def __init__(self, hub: HubProcess, publish: Publish, model: str, folder: Path) -> None:
        self.hub, self.model = hub, model
        publish(model)
        self.path = users(folder / "users.parquet", 2_000)
        hub.admin.put(f"models/{model}/policy", (POLICY % self.path).encode())
        self.generation = 0
        self.compute()

    def compute(self) -> None:
        """Have a generation computed, and wait until its packs are out."""
        record = self.hub.admin.post(f"models/{self.model}/batch/users/generations")
        self.generation = int(record["id"])
        wait_for(lambda: self._in_force() == self.generation, "packs of the generation")

    def _in_force(self) -> int | None:
        index = self.hub.admin.get(f"models/{self.model}/entities")["index"]
        return None if index is None else int(index["generation"])

    def change(self, row: int) -> None:
        table = pq.read_table(self.path).to_pydict()
        table["f0"][row] += 3.0
        pq.write_table(pa.table(table), self.path.with_suffix(".new"))
        self.path.with_suffix(".new").replace(self.path)

    def device(self, state: Path, url: str | None = None, **more: Any) -> EdgeDevice:
        options: dict[str, Any] = {"attributes": {"region": "eu"}, "config": ALONE} | more
        token = None if (state / "state.db").exists() else self.hub.token(self.model)
        return EdgeDevice(
            state, hub=url or self.hub.url, token=token, model=self.model, background=False,
            **options,
        )  # fmt: skip


@pytest.fixture
def shop(hub: HubProcess, publish: Publish, tmp_path: Path, request: pytest.FixtureRequest) -> Shop:
    name = f"shop-{abs(hash(request.node.name)) % 10_000}"
    return Shop(hub, publish, name, tmp_path)


def held(state: Path) -> list[Path]:
    return sorted((model_folder(state) / "entities").iterdir())


def test_a_device_holds_its_share_follows_by_deltas_and_answers_offline(
    shop: Shop, tmp_path: Path, proxy: Proxy
) -> None:
    state = tmp_path / "state"
    with shop.device(state, proxy.url) as device:
        p = device.predict(entity="user-77")
        assert p.label == softmax(rows(2_000), 0)[77].argmax()
        assert (p.source, device.predict(entity="user-78").source) == ("pack", "default")
        before = p.probabilities
        assert device.status()["entities"]["entities"] == 1_000
        [whole] = held(state)
        shop.change(77)
        shop.compute()
        proxy.served.clear()
        assert device.sync().errors == {}
        packs = [(path, size) for path, size in proxy.served if "/packs/" in path]
        assert any(path.endswith(".delta") for path, _ in packs)
        assert not any(path.endswith(".pack") for path, _ in packs)
        now = device.predict(entity="user-77")
        assert now.probabilities is not None
        assert (now.probabilities != before).any()
        assert held(state) != [whole]
        assert len(held(state)) == 1
        proxy.fault = "away"
        assert device.predict(entity="user-77").source == "pack"
    # A start without a hub answers what is on the disk, until its time is over.
    with shop.device(state, proxy.url) as device:
        again = device.predict(entity="user-77")
        assert (again.source, again.version) == ("pack", "1.0")
    clock = Clock()
    clock.now += 30 * 86_400.0
    with shop.device(state, proxy.url, clock=clock) as device:
        assert device.predict(entity="user-77").source == "default"


def test_a_pack_that_leaves_no_room_is_refused_in_words_and_the_one_before_stays(
    shop: Shop, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    with shop.device(state) as device:
        first = device.predict(entity="user-77").probabilities
    shop.change(77)
    shop.compute()
    # No disk of today has so much: whatever is free here is left to others.
    with shop.device(state, config=replace(ALONE, free_bytes=1 << 60)) as device:
        assert device.sync().errors == {}
        status = device.status()["entities"]
        assert status["generation"] == shop.generation - 1
        assert f"generation {shop.generation} of 1,000 entities takes" in status["waits"]
        assert "are left to others" in status["waits"]
        kept = device.predict(entity="user-77").probabilities
        assert first is not None
        assert kept is not None
        assert (kept == first).all()
        events = [e for e in told(device, UpdateEvent) if e.outcome == "fell_back"]
        assert [e.step for e in events] == ["entities"]
    with shop.device(state) as device:
        device.sync()
        assert device.status()["entities"]["generation"] == shop.generation
        assert device.status()["entities"]["waits"] is None


def test_late_feedback_on_answers_by_entity_reaches_the_version_at_the_hub(
    shop: Shop, tmp_path: Path
) -> None:
    with shop.device(tmp_path / "state") as device:
        right, wrong, other = (device.predict(entity=f"user-{i}") for i in (77, 79, 78))
        assert [p.source for p in (right, wrong, other)] == ["pack", "pack", "default"]
        device.feedback(right.id, label=right.label)
        device.feedback(wrong.id, label=(int(str(wrong.label)) + 1) % 3)
        device.feedback(other.id, label=2, reward=0.25)

    def window() -> Any:
        said = shop.hub.admin.get(f"models/{shop.model}/telemetry")
        return next((w for w in said["windows"] if w["labelled"] == 3), None)

    wait_for(lambda: window() is not None, "the labels")
    said = window()
    assert (said["version"], said["correct"], said["own_labelled"]) == ("1.0", 2, 0)
    assert said["predictions"] == {"pack": 2, "default": 1}


def test_a_device_of_no_share_says_so_and_a_full_one_serves_its_model(
    shop: Shop, tmp_path: Path
) -> None:
    with shop.device(tmp_path / "mars", attributes={"region": "mars"}) as device:
        assert device.status()["entities"]["waits"] == (
            "no entities for this device: its region is 'mars'"
        )
        assert device.predict([0.0, 0.0, 0.0, 0.0]).source == "model"


def test_cut_downloads_go_on_and_flipped_bits_are_never_answered(
    shop: Shop, tmp_path: Path, proxy: Proxy
) -> None:
    state = tmp_path / "state"
    proxy.only, proxy.fault = "/packs/", "flip"
    with shop.device(state, proxy.url) as device:
        assert device.predict([0.0, 0.0, 0.0, 0.0]).source == "model"
        assert device.status()["entities"] is None
        proxy.fault = "none"
        assert device.sync().errors == {}
        assert device.predict(entity="user-77").source == "pack"


def test_an_index_that_no_publisher_signed_is_not_followed(shop: Shop, tmp_path: Path) -> None:
    from cloud_hub.registry.repository import Repository

    state = tmp_path / "state"
    with shop.device(state) as device:
        before = device.status()["entities"]["generation"]
        repository = Repository(shop.hub.data / "repository", shop.hub.data / "keys")
        raw = repository.entities(shop.model)
        assert raw is not None
        forged = EntityIndex.from_json(raw)
        share = forged.shares["eu"]
        fake = EntityIndex(
            **{**vars(forged), "shares": {"eu": type(share)(FileRef(9, "b" * 64), 1)}}
        )
        repository.publish_entities(shop.model, fake.to_json())
        result = device.sync()
        assert "no publisher signed" in result.errors["entities"]
        assert device.status()["entities"]["generation"] == before
        assert device.predict(entity="user-77").source == "pack"
        repository.publish_entities(shop.model, raw)
        assert index_in_force(shop.model) == f"plans/{shop.model}@entities.json"
