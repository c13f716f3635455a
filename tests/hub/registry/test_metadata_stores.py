"""What every store of metadata holds: publishing is atomic in a folder and in a bucket."""

from __future__ import annotations

import contextlib
import datetime
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata, Root, Snapshot, Timestamp

from cloud_hub.errors import Conflict, HubFault, NotFound
from cloud_hub.registry.bucket_metadata import BucketMetadata
from cloud_hub.registry.metadata_folder import MetadataFolder
from cloud_hub.registry.metadata_store import PENDING, TIMESTAMP, MetadataStore
from cloud_hub.registry.repository import Repository
from cloud_hub.registry.roles import PLANS
from cloud_hub.storage.bucket import Bucket
from cloud_hub.storage.bucket_address import BucketAddress
from cloud_hub.storage.self_test import self_test
from edge_sdk.contract.plan import Plan, ReleaseRef
from tests.buckets import BucketServer
from tests.waiting import PATIENCE, wait_for

KINDS = ["folder", pytest.param("s3", marks=pytest.mark.s3)]
Open = Callable[[], MetadataStore]


@pytest.fixture(params=KINDS)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens a store, as each worker of one hub does."""
    if request.param == "folder":
        return lambda: MetadataFolder(tmp_path / "repository" / "metadata")
    server: BucketServer = request.getfixturevalue("buckets")
    address, lock = BucketAddress.parse(server.bucket()), threading.Lock()

    @contextlib.contextmanager
    def locked() -> Iterator[None]:
        with lock:
            yield

    return lambda: BucketMetadata(Bucket(address, "metadata"), locked)


@pytest.fixture
def bucket(buckets: BucketServer) -> Bucket:
    return Bucket(BucketAddress.parse(buckets.bucket()), "metadata")


def repository(opened: Open, folder: Path, name: str = "a") -> Repository:
    """A worker: all have the same keys."""
    return Repository(folder / name, folder / "keys", metadata=opened())


@pytest.fixture
def first(opened: Open, tmp_path: Path) -> Repository:
    made = repository(opened, tmp_path)
    made.initialise()
    return made


def plan(serial: int, model: str = "demo") -> Plan:
    return Plan(model, serial, ReleaseRef("1.0", "0" * 64))


def test_what_one_worker_publishes_is_the_beginning_of_the_next_ones(
    opened: Open, first: Repository, tmp_path: Path
) -> None:
    second = repository(opened, tmp_path, "b")
    for serial in range(1, 5):
        (first, second)[serial % 2].publish_plan(plan(serial))
    assert second.files.version(PLANS) == first.files.version(PLANS) == 5
    assert repository(opened, tmp_path, "c").has_plan(plan(4))


def test_workers_that_publish_at_once_lose_nothing(
    opened: Open, first: Repository, tmp_path: Path
) -> None:
    def publish(name: str) -> None:
        worker = repository(opened, tmp_path, name)
        for serial in (1, 2):
            worker.publish_plan(plan(serial, name))

    threads = [threading.Thread(target=publish, args=(name,)) for name in "xyz"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    after = repository(opened, tmp_path, "after")
    assert all(after.has_plan(plan(2, name)) for name in "xyz")
    assert after.files.version(PLANS) == 1 + 6


def test_a_worker_sees_what_another_one_published(
    opened: Open, first: Repository, tmp_path: Path
) -> None:
    second = repository(opened, tmp_path, "b")
    second.files.watch()
    before = second.files.timestamp()
    first.publish_plan(plan(1))
    wait_for(lambda: second.files.timestamp() != before, "the other worker to see it")
    assert second.has_plan(plan(1))
    second.files.close()


def test_what_a_kill_left_before_the_timestamp_is_not_seen_and_gone_on_from(
    opened: Open, first: Repository, tmp_path: Path
) -> None:
    files = first.files
    leftover = files.newest(PLANS)
    leftover.signed.version = 2
    with files.locked():
        files.write(f"2.{PLANS}.json", leftover.to_bytes())
    reader = repository(opened, tmp_path, "b")
    assert not reader.has_plan(plan(1))
    reader.publish_plan(plan(1))
    assert (reader.files.version(PLANS), reader.has_plan(plan(1))) == (3, True)


def test_a_change_that_was_interrupted_is_completed_by_the_next_publisher(
    opened: Open, first: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(name: str, raw: bytes) -> None:
        if name == TIMESTAMP:
            raise KeyboardInterrupt
        write(name, raw)

    write = first.files.write
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(first.files, "write", killed)
        with first.locked():
            first.commit({"root": first.files.newest("root")})
    second = repository(opened, tmp_path, "b")
    before = json.loads(second.files.timestamp())["signed"]["version"]
    second.recover()
    assert json.loads(second.files.timestamp())["signed"]["version"] == before + 1
    root: Metadata[Root] = Metadata.from_bytes(second.root().encode())
    assert root.signed.version == 2


def test_a_beginning_that_was_interrupted_is_begun_anew(opened: Open, tmp_path: Path) -> None:
    opened().write("1.root.json", b"{}")
    made = repository(opened, tmp_path)
    made.initialise()
    assert made.files.newest("root").signed.version == 1
    with pytest.raises(Conflict, match="holds a repository already"):
        repository(opened, tmp_path, "b").initialise()


NONE = ["", "none", PENDING, "lock", "../keys/online.pem", "1.root.json/x", "9" * 400 + ".root.json"]


def test_a_name_that_is_none_is_not_found(opened: Open, first: Repository) -> None:
    for name in (*NONE, "7.root.json", "1.root.json.tmp"):
        with pytest.raises(NotFound, match="not found"):
            first.files.raw(name)
    with pytest.raises(HubFault, match="missing or damaged; restore"):
        first.files.read("7.root.json")
    with pytest.raises(NotFound, match="not found"):
        opened().raw("0.root.json")


def documents(number: int) -> dict[str, bytes]:
    expires = datetime.datetime(2040, 1, 1, tzinfo=datetime.UTC)
    return {
        f"{number}.snapshot.json": Metadata(Snapshot(number, expires=expires)).to_bytes(),
        TIMESTAMP: Metadata(Timestamp(number, expires=expires)).to_bytes(),
    }


@pytest.mark.s3
def test_a_publisher_that_lost_its_lock_changes_nothing(bucket: Bucket) -> None:
    stalled, other = (BucketMetadata(bucket, contextlib.nullcontext) for _ in range(2))
    with stalled.locked():  # and then its process stood still for longer than its lock lived
        with other.locked():
            for name, raw in documents(1).items():
                other.write(name, raw)
        published = other.timestamp()
        late = documents(2)
        with pytest.raises(Conflict, match="somebody else published meanwhile, and nothing"):
            stalled.write(TIMESTAMP, late[TIMESTAMP])
        with pytest.raises(Conflict, match=r"1\.snapshot\.json: somebody else published"):
            stalled.write("1.snapshot.json", late["2.snapshot.json"])
    assert bucket.get(TIMESTAMP)[0] == published
    with pytest.raises(Conflict), stalled.locked():
        bucket.put(PENDING, b"{}")  # what it left is forgotten, and stops nobody
        other.write(TIMESTAMP, documents(3)[TIMESTAMP])
        stalled.commit(late)
    with other.locked():
        assert PENDING not in list(bucket.list())


@pytest.mark.s3
def test_an_answer_that_was_lost_does_not_make_a_publisher_fail(bucket: Bucket) -> None:
    files = BucketMetadata(bucket, contextlib.nullcontext)
    made = documents(1)
    with files.locked():
        bucket.put(TIMESTAMP, made[TIMESTAMP])  # it came, and its answer did not
        files.write(TIMESTAMP, made[TIMESTAMP])
        files.write("1.snapshot.json", made["1.snapshot.json"])
        files.write("1.snapshot.json", made["1.snapshot.json"])
    assert files.timestamp() == made[TIMESTAMP]


@pytest.mark.s3
def test_a_bucket_that_takes_everything_passes_its_test(bucket: Bucket) -> None:
    self_test(bucket)
    assert list(bucket.list()) == []
