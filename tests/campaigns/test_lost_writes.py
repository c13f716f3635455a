"""A short campaign, the disk's model, and programs that the model has to catch."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.campaigns.harness.disk_log import DiskLog, Unmodelled
from tests.campaigns.harness.disk_model import (
    LOSSES,
    ROOT,
    Names,
    Operation,
    Resize,
    Sync,
    Tree,
    Write,
    crash_state,
    every_crash,
)
from tests.campaigns.harness.forked import Child
from tests.campaigns.harness.strace import record
from tests.campaigns.lost_writes import spread
from tests.waiting import PATIENCE

FILE, OTHER, FOLDER = 1, 2, 3


def names(tree: Tree) -> dict[str, bytes]:
    return {name: tree.files.get(number, b"") for name, number in tree.folders[ROOT].items()}


def named(name: str, number: int | None, folder: int = ROOT) -> Names:
    return Names(((folder, name, number),))


WRITTEN: tuple[Operation, ...] = (named("f", FILE), Write(FILE, 0, b"abcd"))
SYNCED: tuple[Operation, ...] = (*WRITTEN, Sync(FILE), Sync(ROOT))
RENAMED = Names(((ROOT, "f", None), (ROOT, "g", FILE)))

LEFT: dict[str, tuple[tuple[Operation, ...], str, dict[str, bytes]]] = {
    "nothing was synced": (WRITTEN, "all of it lost", {}),
    "a name without its data": (WRITTEN, "names kept, data lost", {"f": b""}),
    "data without its name": (WRITTEN, "data kept, names lost", {}),
    "half of a write": (WRITTEN, "the last write torn", {"f": b"ab"}),
    "the data was synced, the name not": ((*WRITTEN, Sync(FILE)), "all of it lost", {}),
    "the name was synced, the data not": ((*WRITTEN, Sync(ROOT)), "all of it lost", {"f": b""}),
    "both were synced": (SYNCED, "all of it lost", {"f": b"abcd"}),
    "a rename was not": ((*SYNCED, RENAMED), "all of it lost", {"f": b"abcd"}),
    "a rename was": ((*SYNCED, RENAMED, Sync(ROOT)), "all of it lost", {"g": b"abcd"}),
    "a sync before it does not count": (
        (*SYNCED, Write(FILE, 2, b"xyz")), "all of it lost", {"f": b"abcd"},
    ),
    "a second write is torn alone": (
        (*SYNCED, Write(FILE, 2, b"xy")), "the last write torn", {"f": b"abxd"},
    ),
    "a file was cut and not synced": ((*SYNCED, Resize(FILE, 0)), "all of it lost", {"f": b"abcd"}),
    "a name was taken away": ((*SYNCED, named("f", None)), "names kept, data lost", {}),
}  # fmt: skip


@pytest.mark.parametrize("case", LEFT)
def test_the_disk_holds_what_was_synced_and_what_luck_left(case: str) -> None:
    operations, loss, left = LEFT[case]
    assert names(crash_state(Tree(), operations, LOSSES[loss], 1)) == left


def test_a_file_in_a_folder_whose_name_was_not_synced_is_gone() -> None:
    made = Names(((ROOT, "d", FOLDER),), made=FOLDER)
    inside = (made, named("f", FILE, FOLDER), Write(FILE, 0, b"x"), Sync(FILE), Sync(FOLDER))
    assert names(crash_state(Tree(), inside, LOSSES["all of it lost"], 1)) == {}
    whole = crash_state(Tree(), (*inside, Sync(ROOT)), LOSSES["all of it lost"], 1)
    assert whole.folders[whole.folders[ROOT]["d"]] == {"f": FILE}


def test_every_state_comes_once_and_those_after_the_end_again() -> None:
    found = list(every_crash(Tree(), SYNCED))
    before = [tree.digest() for at, _, tree in found if at < len(SYNCED)]
    assert len(set(before)) == len(before)
    assert [names(tree) for at, _, tree in found if at == len(SYNCED)] == [{"f": b"abcd"}]
    assert len(spread(found, 3, len(SYNCED))) == 3


def _replace_carelessly(folder: Path) -> None:
    (folder / "new").write_bytes(b"new content")
    (folder / "new").rename(folder / "f")


def _replace(folder: Path) -> None:
    with (folder / "new").open("wb") as file:
        file.write(b"new content")
        file.flush()
        os.fsync(file.fileno())
    (folder / "new").rename(folder / "f")
    handle = os.open(folder, os.O_RDONLY)
    os.fsync(handle)


def _append_through_another_name(folder: Path) -> None:
    (folder / "link").symlink_to("f")
    with (folder / "link").open("ab") as file:
        file.write(b"!")
        os.write(os.dup(file.fileno()), b"?")


def _write_through_memory(folder: Path) -> None:
    import mmap

    with (folder / "f").open("r+b") as file:
        mmap.mmap(file.fileno(), 0)[:1] = b"x"


def followed(work: Callable[[Path], None], folder: Path) -> DiskLog:
    inside = folder / "disk"
    inside.mkdir()
    (inside / "f").write_bytes(b"old content")
    log = DiskLog(inside)
    _, calls = record(Child(lambda: work(inside)), folder / "log")
    return log.follow(calls)


def contents(log: DiskLog) -> set[bytes]:
    return {names(tree).get("f", b"gone") for _, _, tree in every_crash(log.start, log.operations)}


@pytest.mark.strace
@pytest.mark.usefixtures("tracing")
def test_a_program_that_renames_before_it_syncs_is_caught(tmp_path: Path) -> None:
    assert b"" in contents(followed(_replace_carelessly, tmp_path))


@pytest.mark.strace
@pytest.mark.usefixtures("tracing")
def test_a_program_that_syncs_what_it_renames_is_not(tmp_path: Path) -> None:
    log = followed(_replace, tmp_path)
    assert contents(log) == {b"old content", b"new content"}
    at_the_end = [t for at, _, t in every_crash(log.start, log.operations)][-1]
    assert names(at_the_end) == {"f": b"new content"}


@pytest.mark.strace
@pytest.mark.usefixtures("tracing")
def test_writes_are_followed_through_links_and_copies_of_descriptors(tmp_path: Path) -> None:
    log = followed(_append_through_another_name, tmp_path)
    last = log.start.copy()
    for operation in log.operations:
        last.apply(operation)
    assert names(last)["f"] == b"old content?!"  # the buffered byte is written at the close


@pytest.mark.strace
@pytest.mark.usefixtures("tracing")
def test_what_the_model_does_not_know_is_not_passed_over(tmp_path: Path) -> None:
    with pytest.raises(Unmodelled, match="written through memory"):
        followed(_write_through_memory, tmp_path)


@pytest.mark.strace
@pytest.mark.usefixtures("tracing")
def test_a_device_whose_power_ends_is_whole_and_completes() -> None:
    command = [sys.executable, "-m", "tests.campaigns.lost_writes"]
    command += ["--case", "enrolment", "--states", "12"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("12 power cuts, 0 broken\n")
