"""What every artifact store holds; a new implementation adds a line to ``STORES``."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cloud_hub.errors import Invalid, NotFound
from cloud_hub.storage.artifact_store import CHUNK, ArtifactStore, read
from cloud_hub.storage.bucket import Bucket
from cloud_hub.storage.bucket_address import BucketAddress
from cloud_hub.storage.bucket_store import BucketStore
from cloud_hub.storage.folder_store import FolderStore
from tests.buckets import BucketServer
from tests.hub.storage.memory_store import MemoryStore
from tests.waiting import PATIENCE

STORES: dict[str, Callable[[Path, str], ArtifactStore]] = {
    "folder": lambda folder, url: FolderStore(folder / "artifacts"),
    "memory": lambda folder, url: MemoryStore(),
    "s3": lambda folder, url: BucketStore(Bucket(BucketAddress.parse(url), "artifacts")),
}
KINDS = [pytest.param(kind, marks=pytest.mark.s3 if kind == "s3" else ()) for kind in STORES]
LARGE = bytes(range(256)) * (CHUNK // 256 * 2) + b"end"


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def url(request: pytest.FixtureRequest, kind: str) -> str:
    """Where a bucket is, for those that need one."""
    if kind != "s3":
        return ""
    server: BucketServer = request.getfixturevalue("buckets")
    return server.bucket()


@pytest.fixture
def store(kind: str, url: str, tmp_path: Path) -> ArtifactStore:
    return STORES[kind](tmp_path, url)


def test_what_was_put_is_there_whole(store: ArtifactStore, tmp_path: Path) -> None:
    file = tmp_path / "source"
    file.write_bytes(LARGE)
    store.put("a/bytes", LARGE)
    store.put("a/file", file)
    store.put("a/chunks", iter([LARGE[:5], b"", LARGE[5:]]))
    store.put("a/nothing", b"")
    for name in ("a/bytes", "a/file", "a/chunks"):
        assert (read(store, name) == LARGE, store.size(name)) == (True, len(LARGE))
    assert (read(store, "a/nothing"), store.size("a/nothing")) == (b"", 0)


RANGES = [(0, None), (5, None), (0, 0), (3, 7), (CHUNK - 1, CHUNK + 1), (len(LARGE) - 2, None)]


@pytest.mark.parametrize(("start", "stop"), RANGES)
def test_a_range_is_read_without_the_rest(
    store: ArtifactStore, start: int, stop: int | None
) -> None:
    store.put("large", LARGE)
    with store.open("large", start, stop) as chunks:
        assert b"".join(chunks) == LARGE[start:stop]
    with store.open("large", len(LARGE), None) as chunks:
        assert list(chunks) == []


def test_content_of_another_digest_is_not_stored(store: ArtifactStore) -> None:
    digest = hashlib.sha256(b"right").hexdigest()
    with pytest.raises(Invalid, match=f"expected SHA-256 {digest}, got "):
        store.put("x", b"wrong", sha256=digest)
    assert not store.exists("x")
    store.put("x", b"right", sha256=digest)
    with pytest.raises(Invalid):
        store.put("x", b"wrong", sha256=digest)
    assert read(store, "x") == b"right"


def test_a_source_that_breaks_off_leaves_what_was_there(store: ArtifactStore) -> None:
    def broken() -> Iterator[bytes]:
        yield b"half"
        raise OSError("the network went away")

    for content in (None, b"before"):
        if content is not None:
            store.put("x", content)
        with pytest.raises(OSError, match="went away"):
            store.put("x", broken())
        assert (read(store, "x") if store.exists("x") else None) == content
        assert list(store.list()) == (["x"] if content else [])


def test_names_are_listed_in_order_by_their_beginning(store: ArtifactStore) -> None:
    assert list(store.list()) == []
    for name in ("packs/b/2", "packs/a/1", "packs/ab", "models/x", "z"):
        store.put(name, b"")
    assert list(store.list()) == ["models/x", "packs/a/1", "packs/ab", "packs/b/2", "z"]
    assert list(store.list("packs/a")) == ["packs/a/1", "packs/ab"]
    assert list(store.list("packs/a/")) == ["packs/a/1"]
    assert list(store.list("none/")) == list(store.list("../")) == []


def test_what_is_being_written_is_not_there_yet(store: ArtifactStore) -> None:
    seen: list[object] = []

    def slow() -> Iterator[bytes]:
        yield b"first"
        seen.extend([store.exists("x"), list(store.list())])
        yield b"second"

    store.put("x", slow())
    assert seen == [False, []]


def test_what_is_deleted_is_gone_and_may_be_deleted_again(store: ArtifactStore) -> None:
    store.put("a/x", b"1")
    store.put("a/y", b"2")
    for _ in range(2):
        store.delete("a/x")
    assert (store.exists("a/x"), list(store.list())) == (False, ["a/y"])


def test_a_reader_goes_on_with_what_it_began(store: ArtifactStore) -> None:
    store.put("x", LARGE)
    with store.open("x") as chunks:
        first = next(chunks)
        store.put("x", b"another")
        assert first + b"".join(chunks) == LARGE
    with store.open("x") as chunks:
        store.delete("x")
        assert b"".join(chunks) == b"another"


def test_an_artifact_that_is_not_there_is_an_error_at_once(store: ArtifactStore) -> None:
    store.put("a/x", b"")
    for name in ("b", "a", "a/x/y", "../a", "/etc/passwd", "", "a" * 5_000):
        assert not store.exists(name)
        for work in (lambda name: read(store, name), store.size):
            with pytest.raises(NotFound, match="not found"):
                work(name)
        with pytest.raises(NotFound), store.local_file(name):
            pass


@pytest.mark.parametrize("name", ["", "/x", "x/", "a//b", "../x", "a/../x", ".x", "a/.x", "a\0b"])
def test_a_name_that_could_reach_outside_is_refused(store: ArtifactStore, name: str) -> None:
    with pytest.raises(Invalid, match="expected a relative path"):
        store.put(name, b"")
    with pytest.raises(Invalid, match="expected a relative path"):
        store.delete(name)


def test_a_local_file_has_the_content_while_it_is_used(store: ArtifactStore) -> None:
    store.put("x", LARGE)
    with store.local_file("x") as file:
        assert file.read_bytes() == LARGE


def test_writers_of_one_name_leave_one_whole(store: ArtifactStore) -> None:
    contents = [bytes([i]) * CHUNK for i in range(8)]
    threads = [threading.Thread(target=store.put, args=("x", content)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert read(store, "x") in contents


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.hub.storage.test_artifact_stores import STORES

def source():
    yield b"half" * (4 << 20)  # of an upload in parts: the first part is there already
    os.kill(os.getpid(), signal.SIGKILL)

STORES[sys.argv[1]](Path(sys.argv[2]), sys.argv[3]).put("x", source())
"""


def test_a_writer_that_is_killed_leaves_nothing_to_be_seen(
    kind: str, url: str, tmp_path: Path
) -> None:
    words = [sys.executable, "-c", KILLED, kind, str(tmp_path), url]
    assert subprocess.run(words, timeout=PATIENCE, check=False).returncode == -9
    store = STORES[kind](tmp_path, url)
    assert (store.exists("x"), list(store.list())) == (False, [])
    store.put("x", b"whole")
    assert read(store, "x") == b"whole"


def test_a_folder_has_no_address_for_others(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.put("x", b"")
    assert store.public_address("x") is None
