"""Files that are whole or not there."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from edge_sdk.files import folder_atomic, sha256_file, write_atomic


def test_a_write_replaces_the_whole_content(tmp_path: Path) -> None:
    path = tmp_path / "f"
    for content in (b"long " * 1_000, b"short"):
        write_atomic(path, content)
        assert path.read_bytes() == content
        assert sha256_file(path) == hashlib.sha256(content).hexdigest()
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


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
