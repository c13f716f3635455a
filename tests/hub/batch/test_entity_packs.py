"""A generation as packs for devices: shares, deltas, refusals, and what stays if it goes wrong."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cloud_hub.batch.publishing import TRY_AGAIN_SECONDS, DevicePacks
from cloud_hub.batch.spreading.device_packs import PackMaking
from cloud_hub.engine.engine import SpreadTask
from cloud_hub.engine.local import LocalEngine
from cloud_hub.errors import HubFault, Invalid
from cloud_hub.hub import Hub
from edge_sdk.contract.entity_index import EntityIndex, delta_path, pack_path
from edge_sdk.model.keys import key_of
from edge_sdk.packs.delta import apply_delta
from edge_sdk.packs.entity_names import PREFIX
from edge_sdk.packs.entity_predictions import EntityPredictions
from tests.edge.builders import rows, softmax
from tests.hub.batch.shop import computed, declare, job, users
from tests.waiting import wait_for


def published(hub: Hub) -> EntityIndex:
    hub.entity_packs.tick(time.time())
    index = hub.entity_packs.index("demo")
    assert index is not None, hub.entity_packs.status("demo")
    return index


def pack_of(hub: Hub, index: EntityIndex, value: str, folder: Path) -> Path:
    sha256 = index.shares[value].file.sha256
    where, _, name = pack_path("demo", sha256).rpartition("/")
    path = folder / f"{sha256}.pack"
    path.write_bytes(hub.repository.read_target(f"{where}/{sha256}.{name}"))
    return path


def answer(path: Path, entity: str) -> object:
    pack = EntityPredictions.open(path, "demo")
    at = pack.pack.find(key_of(PREFIX + entity.encode()))
    return None if at < 0 else pack.maker(pack.origin("t", time.time))(at)


def test_a_pack_has_the_answers_of_its_generation(serving: Hub, tmp_path: Path) -> None:
    path = users(tmp_path / "users.parquet", 3_000)
    declare(serving, job(f"{{parquet: {path}}}", "entities: all, default: 2"))
    record = computed(serving)
    index = published(serving)
    assert (index.generation, index.version, index.attribute) == (record.id, "demo 1.0", None)
    assert index.shares[""].entities == 3_000
    pack = pack_of(serving, index, "", tmp_path)
    shares = softmax(rows(3_000), 0)
    for i in (0, 77, 2_999):
        p = answer(pack, f"user-{i}")
        np.testing.assert_allclose(p.probabilities, shares[i], rtol=1e-5)  # type: ignore[attr-defined]
        assert p.label == shares[i].argmax()  # type: ignore[attr-defined]
    opened = EntityPredictions.open(pack, "demo")
    opened.pack.verify()
    assert opened.expires == int(record.valid_until or 0)
    assert opened.about.default == 2
    version = serving.repository.files.version("plans")
    published(serving)
    assert serving.repository.files.version("plans") == version  # nothing new, nothing signed


def test_entities_are_shared_out_by_an_attribute_and_come_as_deltas(
    serving: Hub, tmp_path: Path
) -> None:
    path = users(tmp_path / "users.parquet", 2_000)
    declare(serving, job(f"{{parquet: {path}}}", "attributes: [region], entities: region"))
    computed(serving)
    first = published(serving)
    assert {v: s.entities for v, s in first.shares.items()} == {"eu": 1_000, "us": 1_000}
    assert first.share_of("device", {"region": "eu"}) == first.shares["eu"]
    assert first.share_of("device", {"region": "mars"}) is None
    eu = pack_of(serving, first, "eu", tmp_path)
    assert answer(eu, "user-1") is not None
    assert answer(eu, "user-2") is None
    table = pq.read_table(path).to_pydict()
    table["f0"][1] += 1.0  # user-1
    pq.write_table(pa.table(table), path)
    computed(serving)
    second = published(serving)
    share = second.shares["eu"]
    assert share.base == first.shares["eu"].file.sha256
    assert share.delta is not None
    assert share.delta.length < share.file.length / 20
    where, _, name = delta_path("demo", share.base, share.file.sha256).rpartition("/")
    delta = tmp_path / "delta"
    delta.write_bytes(serving.repository.read_target(f"{where}/{share.delta.sha256}.{name}"))
    apply_delta(eu, delta, tmp_path / "made.pack")
    assert (tmp_path / "made.pack").read_bytes() == pack_of(
        serving, second, "eu", tmp_path
    ).read_bytes()


def test_ranked_lists_are_stored_by_name(serving: Hub, tmp_path: Path) -> None:
    path = users(tmp_path / "users.parquet")
    declare(serving, job(f"{{parquet: {path}}}", "top: 2, entities: all, default_items: [a, b]"))
    computed(serving)
    pack = pack_of(serving, published(serving), "", tmp_path)
    shares = softmax(rows(50), 0)
    ranked = answer(pack, "user-3").ranked  # type: ignore[attr-defined]
    best = np.argsort(-shares[3])[:2]
    assert ranked.items == tuple(str(c) for c in best)
    np.testing.assert_allclose(ranked.scores, shares[3][best], rtol=1e-5)
    opened = EntityPredictions.open(pack, "demo")
    default = opened.default(opened.origin("t", time.time, stored=False))
    assert default is not None
    assert (default.ranked, default.source, default.age) == ((("a", "b"), ()), "default", None)


def test_what_is_too_large_is_refused_once_and_the_one_before_stays(
    serving: Hub, tmp_path: Path
) -> None:
    path = users(tmp_path / "users.parquet", 60)
    declare(serving, job(f"{{parquet: {path}}}", "entities: all, pack_entries: 100"))
    computed(serving)
    before = published(serving)
    users(path, 200)
    computed(serving)
    assert published(serving) == before
    said = serving.entity_packs.status("demo").refused
    assert "more than 100 entities" in said
    assert "a finer attribute" in said
    published(serving)
    actions = [entry.action for entry in serving.audit.entries()]
    assert actions.count("entities refused") == 1
    declare(serving, job(f"{{parquet: {path}}}", "entities: all, pack_entries: 200"))
    assert published(serving).generation > before.generation
    assert serving.entity_packs.status("demo").refused == ""


def test_a_generation_without_the_attribute_is_refused_in_words(
    serving: Hub, tmp_path: Path
) -> None:
    path = users(tmp_path / "users.parquet")
    declare(serving, job(f"{{parquet: {path}}}"))
    record = computed(serving)
    declare(serving, job(f"{{parquet: {path}}}", "attributes: [region], entities: region"))
    serving.entity_packs.tick(time.time())
    status = serving.entity_packs.status("demo")
    assert (status.index, status.due) == (None, record.id)
    assert status.refused.endswith("was computed without region; run the job once more")
    computed(serving)
    assert set(published(serving).shares) == {"eu", "us"}


def test_what_was_refused_is_tried_again_when_somebody_asks(serving: Hub, tmp_path: Path) -> None:
    path = users(tmp_path / "users.parquet")
    declare(serving, job(f"{{parquet: {path}}}", "entities: all"))
    computed(serving)
    key = serving.settings.data / "keys" / "releases.pem"
    key.rename(tmp_path / "away.pem")
    serving.entity_packs.tick(time.time())
    assert "key" in serving.entity_packs.status("demo").refused
    (tmp_path / "away.pem").rename(key)
    serving.entity_packs.tick(time.time())
    assert serving.entity_packs.index("demo") is None  # said once, not tried each second
    assert serving.entity_packs.again("demo", actor="test").refused == ""
    published(serving)
    assert serving.entity_packs.status("demo").due is None


def test_a_full_disk_is_tried_again_by_itself(serving: Hub, tmp_path: Path) -> None:
    path = users(tmp_path / "users.parquet")
    declare(serving, job(f"{{parquet: {path}}}", "entities: all"))
    computed(serving)
    now = time.time()
    scratch = tempfile.tempdir
    tempfile.tempdir = str(tmp_path / "unmounted")
    try:
        for later in (0.0, 1.0, TRY_AGAIN_SECONDS):
            serving.entity_packs.tick(now + later)
            assert "trouble with the disk" in serving.entity_packs.status("demo").refused
    finally:
        tempfile.tempdir = scratch
    actions = [entry.action for entry in serving.audit.entries()]
    assert actions.count("entities refused") == 1
    serving.entity_packs.tick(now + TRY_AGAIN_SECONDS + 1)
    assert serving.entity_packs.index("demo") is None
    serving.entity_packs.tick(now + 2 * TRY_AGAIN_SECONDS)
    assert serving.entity_packs.index("demo") is not None


def test_a_dropped_generation_gives_way_to_the_one_before(serving: Hub, tmp_path: Path) -> None:
    path = users(tmp_path / "users.parquet")
    declare(serving, job(f"{{parquet: {path}}}", "entities: all"))
    first = computed(serving)
    published(serving)
    users(path, 50, seed=2)
    second = computed(serving)
    assert published(serving).generation == second.id
    serving.batches.drop(second.id, actor="test", reason="wrong prices")
    assert published(serving).generation == first.id


def test_a_job_that_devices_hold_no_more_is_taken_back(serving: Hub, tmp_path: Path) -> None:
    path = users(tmp_path / "users.parquet")
    declare(serving, job(f"{{parquet: {path}}}", "entities: all"))
    computed(serving)
    published(serving)
    declare(serving, job(f"{{parquet: {path}}}"))
    serving.entity_packs.tick(time.time())
    assert serving.entity_packs.index("demo") is None


def test_old_packs_are_removed_and_others_stay(serving: Hub, tmp_path: Path) -> None:
    path = users(tmp_path / "users.parquet")
    declare(serving, job(f"{{parquet: {path}}}", "entities: all"))
    for seed in range(4):
        users(path, 50, seed=seed)
        computed(serving)
        published(serving)
    packs = [n for n in serving.repository.targets.list("packs/demo/") if n.endswith(".pack")]
    assert len(packs) == 2


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("entities: region", "expected all, or one of attributes"),
        ("entities: all, pack_entries: 0", "pack_entries: expected 1"),
    ],
)
def test_a_job_that_devices_cannot_hold_is_refused(serving: Hub, more: str, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        declare(serving, job("{csv: users.csv}", more))


def test_devices_hold_the_entities_of_one_job(serving: Hub) -> None:
    one = "{source: {csv: users.csv}, entities: all}"
    with pytest.raises(Invalid, match="one job"):
        declare(serving, f"batch: {{a: {one}, b: {one}}}")


class HeldEngine:
    """Builds packs elsewhere, on this machine, once it may."""

    name, elsewhere = "held", True

    def __init__(self) -> None:
        self.go = threading.Event()
        self.cancelled = threading.Event()

    def spread(self, task: SpreadTask, items: Iterable[bytes]) -> HeldSpread:
        return HeldSpread(self, task, items)

    def problem(self) -> str:
        return ""


class HeldSpread:
    def __init__(self, engine: HeldEngine, task: SpreadTask, items: Iterable[bytes]) -> None:
        self._engine, self._task, self._items = engine, task, items

    def __iter__(self) -> Iterator[bytes]:
        self._engine.go.wait()
        if self._engine.cancelled.is_set():
            raise HubFault("cancelled")
        yield from LocalEngine().spread(self._task, self._items)

    def cancel(self) -> None:
        self._engine.cancelled.set()
        self._engine.go.set()


def held_packs(hub: Hub, engine: HeldEngine) -> DevicePacks:
    """Packs of a hub with a loop."""
    making = PackMaking(hub.registry, engine)
    return DevicePacks(hub.audit, hub.registry, hub.generations, making)


def test_a_tick_does_not_wait_for_packs_that_take_long(serving: Hub, tmp_path: Path) -> None:
    path = users(tmp_path / "users.parquet")
    declare(serving, job(f"{{parquet: {path}}}", "entities: all"))
    computed(serving)
    first, engine = published(serving), HeldEngine()
    users(path, 50, seed=2)
    second = computed(serving)
    packs = held_packs(serving, engine)
    packs.tick(time.time())
    packs.tick(time.time())
    assert packs.index("demo") == first
    status = packs.status("demo")
    assert (status.due, status.refused) == (second.id, "")
    engine.go.set()

    def index() -> EntityIndex | None:
        packs.tick(time.time())
        found = packs.index("demo")
        return None if found == first else found

    assert wait_for(index, "the index").generation == second.id


def test_packs_that_are_being_made_when_a_hub_ends_are_made_once_more(
    serving: Hub, tmp_path: Path
) -> None:
    path = users(tmp_path / "users.parquet")
    declare(serving, job(f"{{parquet: {path}}}", "entities: all"))
    record, engine = computed(serving), HeldEngine()
    packs = held_packs(serving, engine)
    packs.tick(time.time())
    packs.stop()
    assert engine.cancelled.is_set()
    assert packs.index("demo") is None
    assert published(serving).generation == record.id


def test_packs_of_a_generation_that_gave_way_meanwhile_are_not_published(
    serving: Hub, tmp_path: Path
) -> None:
    path = users(tmp_path / "users.parquet")
    declare(serving, job(f"{{parquet: {path}}}", "entities: all"))
    computed(serving)
    engine = HeldEngine()
    packs = held_packs(serving, engine)
    packs.tick(time.time())
    declare(serving, job(f"{{parquet: {path}}}"))
    packs.tick(time.time())
    assert engine.cancelled.is_set()
    assert packs.index("demo") is None
