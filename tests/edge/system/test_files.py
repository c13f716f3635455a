"""Files that are whole or not there."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from edge_sdk.system import files
from edge_sdk.system.files import (
    READABLE,
    check_writable,
    folder_atomic,
    make_folder,
    sha256_file,
    write_atomic,
)


def test_a_write_replaces_the_whole_content(tmp_path: Path) -> None:
    path = tmp_path / "f"
    for content in (b"long " * 1_000, b"short"):
        write_atomic(path, content)
        assert path.read_bytes() == content
        assert sha256_file(path) == hashlib.sha256(content).hexdigest()
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_what_is_written_is_private_unless_it_is_to_be_shown(tmp_path: Path) -> None:
    write_atomic(tmp_path / "key", b"secret")
    write_atomic(tmp_path / "report.html", b"<p>", mode=READABLE)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"key": 0o600, "report.html": 0o644}


def test_a_write_that_fails_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write_atomic(path, b"old")
    with pytest.raises(TypeError):
        write_atomic(path, "not bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_a_folder_appears_at_the_end_or_not_at_all(tmp_path: Path) -> None:
    with folder_atomic(tmp_path / "d") as folder:
        (folder / "f").write_bytes(b"x")
        assert not (tmp_path / "d").exists()
    assert (tmp_path / "d" / "f").read_bytes() == b"x"
    with pytest.raises(RuntimeError), folder_atomic(tmp_path / "e"):
        raise RuntimeError
    with pytest.raises(FileExistsError), folder_atomic(tmp_path / "d"):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["d"]


def test_what_can_be_written_is_known_before_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"old")
    check_writable(tmp_path / "f")
    check_writable(tmp_path / "new")
    check_writable(tmp_path / "a" / "b" / "new", parents=True)
    assert [p.name for p in tmp_path.iterdir()] == ["f"]
    assert (tmp_path / "f").read_bytes() == b"old"


UNWRITABLE = {
    "a folder that is missing": ("a/new", False, "No such file"),
    "a folder where a file is to be": ("folder", False, "Is a directory"),
    "a file for a folder": ("file/new", False, "Not a directory"),
    "a file for a folder on the way": ("file/a/new", True, "Not a directory"),
    "a name that is too long": ("x" * 300, True, "too long"),
    "a folder of the system": ("/proc/new", True, "/proc/new"),
}


@pytest.mark.parametrize("case", UNWRITABLE)
def test_what_cannot_be_written_is_known_before(tmp_path: Path, case: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    name, parents, reason = UNWRITABLE[case]
    with pytest.raises(OSError, match=reason) as caught:
        check_writable(tmp_path / name, parents=parents)
    assert caught.value.filename == str(tmp_path / name)


def test_the_name_of_each_new_folder_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device that was enrolled lost its identity with the name of its state folder."""
    synced: list[Path] = []
    monkeypatch.setattr(files, "fsync_directory", synced.append)
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert synced == [tmp_path, tmp_path / "a"]


def test_a_file_in_the_place_of_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    with pytest.raises(OSError):
        make_folder(tmp_path / "f")
