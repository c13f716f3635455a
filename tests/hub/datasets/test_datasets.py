"""Versions of datasets: immutable, by content, with tags, statistics, differences and uses."""

from __future__ import annotations

import errno
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cloud_hub.data.dataset import Dataset
from cloud_hub.datasets.records import DatasetRecord
from cloud_hub.errors import Conflict, HubFault, Invalid, NotFound
from cloud_hub.hub import Hub

FRAME = pd.DataFrame({"age": [31, 40, 25], "city": ["Bern", None, "Basel"], "y": [0, 1, 0]})


def add(hub: Hub, frame: pd.DataFrame = FRAME, name: str = "train") -> DatasetRecord:
    return hub.datasets.add("demo", name, Dataset.read(frame), actor="anna", source="a.csv")


def test_the_same_content_is_one_version_and_other_content_the_next(inner: Hub) -> None:
    first = add(inner)
    assert (first.ref, first.parent, first.rows, first.actor) == ("train@1", None, 3, "anna")
    assert [(c.name, c.kind, c.role) for c in first.columns] == [
        ("age", "integer", None), ("city", "text", None), ("y", "integer", "label"),
    ]  # fmt: skip
    assert add(inner) == first
    second = add(inner, FRAME.assign(age=[1, 2, 3]))
    assert (second.ref, second.parent) == ("train@2", 1)
    third = add(inner)  # back to what was: a version of its own, with the blob of the first
    assert (third.ref, third.blob, third.fingerprint) == ("train@3", first.blob, first.fingerprint)
    assert inner.datasets.open(third).X.equals(Dataset.read(FRAME).X)
    assert [r.ref for r in inner.datasets.records("demo", "train")] == [
        "train@1", "train@2", "train@3",
    ]  # fmt: skip
    entries = [e.detail["dataset"] for e in inner.audit.entries("demo", action="dataset")]
    assert entries == ["train@1", "train@2", "train@3"]


def test_a_version_is_named_by_number_tag_or_as_the_newest(inner: Hub) -> None:
    add(inner)
    add(inner, FRAME.assign(age=[1, 2, 3]))
    tagged = inner.datasets.tag("demo", "train@1", "approved", actor="anna")
    assert tagged.tags == ("approved",)
    assert inner.datasets.get("demo", "train@approved").number == 1
    assert inner.datasets.get("demo", "train").number == 2
    inner.datasets.tag("demo", "train", "approved", actor="anna")
    assert inner.datasets.get("demo", "train@approved").number == 2
    assert inner.datasets.get("demo", "train@1").tags == ()


@pytest.mark.parametrize(
    ("ref", "error", "text"),
    [
        ("train@9", NotFound, "no dataset train@9; there are train@1"),
        ("test", NotFound, "no dataset test; there are train@1"),
        ("train@nobody", NotFound, "no dataset train@nobody"),
        ("train@0", Invalid, "tag: expected a word, got '0'"),
        ("../etc@1", Invalid, "dataset: expected 1 to"),
        ("train@", Invalid, "tag: expected 1 to"),
    ],
)
def test_a_name_of_no_version_says_which_there_are(
    inner: Hub, ref: str, error: type[Exception], text: str
) -> None:
    add(inner)
    with pytest.raises(error, match=text):
        inner.datasets.get("demo", ref)
    with pytest.raises(error, match=text):
        inner.datasets.tag("demo", ref, "x", actor="anna")


def test_many_that_add_at_once_get_a_number_each(inner: Hub) -> None:
    failed: list[BaseException] = []

    def one(i: int) -> None:
        try:
            add(inner, FRAME.assign(age=[i, i, i]))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=one, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert [r.number for r in inner.datasets.records("demo")] == list(range(1, 9))


def test_a_kill_before_the_record_leaves_the_version_of_before(
    inner: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(inner)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(inner.datasets._store, "add", killed)
    with pytest.raises(KeyboardInterrupt):
        add(inner, FRAME.assign(age=[1, 2, 3]))
    monkeypatch.undo()
    assert [r.ref for r in inner.datasets.records("demo")] == ["train@1"]
    assert add(inner, FRAME.assign(age=[1, 2, 3])).ref == "train@2"


def test_a_disk_that_is_full_is_said_and_the_version_of_before_stays(
    inner: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(inner)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("cloud_hub.storage.folder_store.os.fsync", full)
    with pytest.raises(HubFault, match="bytes cannot be stored; No space left on device"):
        add(inner, FRAME.assign(age=[1, 2, 3]))
    monkeypatch.undo()
    assert [r.ref for r in inner.datasets.records("demo")] == ["train@1"]


def test_rows_that_a_disk_damaged_are_refused(inner: Hub) -> None:
    record = add(inner)
    (path,) = Path(inner.settings.data).rglob(record.blob)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    path.write_bytes(raw)
    with pytest.raises(Invalid, match="train@1: its file is damaged"):
        inner.datasets.open(record)
    path.unlink()
    with pytest.raises(NotFound):
        inner.datasets.open(record)


def test_two_versions_are_compared_without_their_rows(inner: Hub) -> None:
    add(inner)
    changed = FRAME.assign(age=[1, 2, 300], new=[0.5, 1.5, 2.5]).drop(columns="city")
    add(inner, changed)
    diff = inner.datasets.diff("demo", "train@1", "train@2")
    assert (diff.same, diff.rows) == (False, (3, 3))
    assert [(c.name, c.change) for c in diff.columns] == [
        ("age", "values"), ("city", "removed"), ("new", "added"),
    ]  # fmt: skip
    assert diff.columns[1].before == "text of 2 (Basel 50%, Bern 50%), 33.3% missing"
    assert inner.datasets.diff("demo", "train@2", "train@2").same


def test_statistics_are_kept_as_they_were_made(inner: Hub) -> None:
    record = add(inner, pd.concat([FRAME] * 5))
    known = inner.datasets.statistics(record)
    assert known is not None
    age, city = known.columns[0], known.columns[1]
    assert (age.minimum, age.maximum, age.values, age.counts) == (
        25, 40, ("25", "31", "40"), (5, 5, 5, 0),
    )  # fmt: skip
    assert (city.missing, city.values, city.by_value) == (5, ("Basel", "Bern"), True)


def test_the_time_range_is_that_of_the_rows(inner: Hub) -> None:
    data = Dataset.of({"a": [1.0, 2.0]}, [0, 1], times=[50.0, 20.5])
    record = inner.datasets.add("demo", "train", data, actor="a")
    assert (record.since, record.until) == (20.5, 50.0)
    nowhere = Dataset.read({"a": [1.0], "y": [1], "when": [None]}, time="when")
    with pytest.raises(Invalid, match="when: expected times, all of them are missing"):
        inner.datasets.add("demo", "train", nowhere, actor="a")


def test_what_a_version_was_made_with_is_noted_and_replaced(inner: Hub) -> None:
    add(inner)
    add(inner, FRAME.assign(age=[1, 2, 3]))
    inner.datasets.set_uses("demo", "1.1", "trained", ["train@1"])
    inner.datasets.set_uses("demo", "1.1", "trained", ["train@2", "train@2"])
    inner.datasets.set_uses("demo", "1.1", "judged", ["train@1"])
    assert inner.datasets.uses("demo") == {
        "1.1": {"trained": ["train@2"], "judged": ["train@1"]},
    }
    with pytest.raises(NotFound):
        inner.datasets.set_uses("demo", "1.1", "trained", ["train@7"])


def test_shared_rows_are_deleted_when_the_policy_says_and_their_record_stays(inner: Hub) -> None:
    data = Dataset.of({"a": np.arange(3.0)}, [0, 1, 0])
    record = inner.datasets.add("demo", "fresh", data, actor="hub")
    inner.datasets.add("demo", "train", data, actor="anna")  # the same content: one blob
    inner.registry.set_policy("demo", "retention: {sample_days: 2}\n", "test")
    inner.datasets.clean(record.added_at + 86_400)
    assert inner.datasets.get("demo", "fresh@1").blob
    inner.datasets.clean(record.added_at + 3 * 86_400)
    gone = inner.datasets.get("demo", "fresh@1")
    assert (gone.blob, gone.fingerprint, gone.rows) == ("", record.fingerprint, 3)
    with pytest.raises(Conflict, match="fresh@1 were deleted by retention"):
        inner.datasets.open(gone)
    kept = inner.datasets.get("demo", "train@1")
    assert len(inner.datasets.open(kept)) == 3  # somebody's own rows are theirs to delete
    assert inner.datasets.rows("demo", "fresh") is None
    assert inner.datasets.diff("demo", "fresh@1", "train@1").same
