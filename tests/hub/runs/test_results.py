"""What a training leaves, when it was taken over: links, pipes, other models, lies."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_hub.errors import Invalid
from cloud_hub.isolation.handback import opened, printable
from cloud_hub.runs import results
from cloud_hub.runs.jobs import JobResult, TrainingJob
from edge_sdk.contract.codec import encode
from edge_sdk.contract.manifest import Lineage, Manifest
from tests.edge.builders import make_release

JOB = TrainingJob(
    model="demo", run=1, parent="1.0", mode="stateless", mode_reason="",
    versions={"stateful": "1.1", "stateless": "2.0"}, columns=4, window=(0.0, 1.0), seed=0,
)  # fmt: skip
GOOD = JobResult(ok=True, reason="", mode="stateless")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The folder of a worker that ended well; beside it lies a secret."""
    folder = tmp_path / "work"
    folder.mkdir()
    (tmp_path / "admin.token").write_text("secret")
    made = make_release(folder / "made", version="2.0")
    manifest = replace(made.manifest, lineage=Lineage(mode="stateless", parent="1.0"))
    made.folder.rename(folder / "release")
    (folder / "release" / "manifest.json").write_bytes(manifest.to_json())
    (folder / "result.json").write_bytes(encode(GOOD))
    (folder / "next.state").write_bytes(b"anything")
    return folder


@pytest.fixture
def attempt(tmp_path: Path) -> Path:
    folder = tmp_path / "attempt-1"
    folder.mkdir()
    return folder


def test_a_release_a_state_and_a_result_are_taken_as_they_are(work: Path, attempt: Path) -> None:
    assert results.take(work, attempt, JOB) == GOOD
    assert (attempt / "next.state").read_bytes() == b"anything"
    taken = {p.name: p.read_bytes() for p in (attempt / "release").iterdir()}
    assert taken == {p.name: p.read_bytes() for p in (work / "release").iterdir()}


def manifest_of(work: Path, **changes: Any) -> None:
    path = work / "release" / "manifest.json"
    path.write_bytes(replace(Manifest.from_json(path.read_bytes()), **changes).to_json())


def replaced(work: Path, name: str, make: Callable[[Path, Path], object]) -> None:
    path = work / name
    path.unlink()
    make(path, work.parent / "admin.token")


def lines_of(work: Path, files: dict[str, Any]) -> None:
    path = work / "release" / "manifest.json"
    raw = json.loads(path.read_bytes())
    raw["files"] |= files
    path.write_text(json.dumps(raw))


def linked_folder(work: Path) -> None:
    (work / "release").rename(work.parent / "elsewhere")
    (work / "release").symlink_to(work.parent / "elsewhere")


def swapped_in(path: Path, secret: Path) -> None:
    path.mkdir()


ATTACKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a model that is a link to a secret": (
        lambda w: replaced(w, "release/model.onnx", Path.symlink_to), "model.onnx",
    ),
    "a model with another name outside": (
        lambda w: replaced(w, "release/model.onnx", Path.hardlink_to), "hard links",
    ),
    "a state that is a link to a secret": (
        lambda w: replaced(w, "next.state", Path.symlink_to), "next.state",
    ),
    "a state that is a secret under another name": (
        lambda w: replaced(w, "next.state", Path.hardlink_to), "hard links",
    ),
    "a pipe that never ends": (
        lambda w: replaced(w, "next.state", lambda path, _: os.mkfifo(path)), "no plain file",
    ),
    "a folder for a file": (lambda w: replaced(w, "next.state", swapped_in), "no plain file"),
    "a result that is a link": (
        lambda w: replaced(w, "result.json", Path.symlink_to), "result.json",
    ),
    "a release that is a link to a folder": (linked_folder, "release"),
    "a release of another model": (lambda w: manifest_of(w, model="payments"), "something else"),
    "a release of another version": (lambda w: manifest_of(w, version="9.0"), "something else"),
    "a release of another parent": (
        lambda w: manifest_of(w, lineage=Lineage(mode="stateless", parent="0.9")), "something else",
    ),
    "a file that is elsewhere": (
        lambda w: lines_of(w, {"../../admin.token": {"length": 6, "sha256": "0" * 64}}), "files",
    ),
    "a file that has changed since it was named": (
        lambda w: (w / "release" / "model.onnx").write_bytes(b"other"), "cannot be used",
    ),
    "no manifest": (lambda w: (w / "release" / "manifest.json").unlink(), "left no release"),
    "a result that is no JSON": (lambda w: (w / "result.json").write_bytes(b"\xff{"), "result"),
    "a mode that there is not": (
        lambda w: (w / "result.json").write_bytes(encode(replace(GOOD, mode="free"))),
        "something else",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ATTACKS)
def test_nothing_is_taken_but_plain_files_of_the_release_that_was_asked_for(
    work: Path, attempt: Path, case: str
) -> None:
    attack, reason = ATTACKS[case]
    attack(work)
    with pytest.raises(Invalid) as caught:
        results.take(work, attempt, JOB)
    assert reason in str(caught.value)
    assert not (attempt / "result.json").exists()
    found = [p for p in attempt.rglob("*") if p.is_file() and p.read_bytes() == b"secret"]
    assert found == []


def test_a_file_above_its_limit_is_not_read(work: Path) -> None:
    with (work / "next.state").open("wb") as file:
        file.truncate(1 << 40)  # a hole: it takes no space
    with opened(work) as left, pytest.raises(Invalid, match="at most 1000 are taken"):
        left.read("next.state", 1_000)


def test_a_training_that_left_nothing_is_no_error(work: Path, attempt: Path) -> None:
    (work / "result.json").unlink()
    assert results.take(work, attempt, JOB) is None


def test_files_that_nobody_asked_for_stay_where_they_are(work: Path, attempt: Path) -> None:
    (work / "release" / "more.bin").write_bytes(b"x")
    (work / "log.txt").symlink_to(work.parent / "admin.token")
    shutil.copy(work / "next.state", work / "token")
    results.take(work, attempt, JOB)
    assert sorted(p.name for p in attempt.iterdir()) == ["next.state", "release", "result.json"]
    assert not (attempt / "release" / "more.bin").exists()


@given(st.text(st.characters(), max_size=50))
def test_words_of_foreign_code_fit_into_every_database(text: str) -> None:
    shown = printable(text, 40)
    assert len(shown) <= 40
    assert "\x00" not in shown
    shown.encode()
    assert printable(shown, 40) == shown
