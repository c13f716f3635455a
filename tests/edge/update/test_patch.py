"""Patches are applied to the byte, or refused with the file untouched."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.contract.manifest import FileRef
from edge_sdk.contract.patch import BLOCK_WORDS, COPY, DATA, DIFF, WIDTHS, PatchHeader, Segment
from edge_sdk.errors import PatchError
from edge_sdk.update.patch import apply_patch
from tests.edge.update.patches import content, frame, noise, ref
from tests.waiting import PATIENCE

BASE, NEW = noise(4_000), noise(4_000, 2)
ALL = [Segment(COPY, 1, 100, 1_000), Segment(DATA, 4, 0, 2_000), Segment(DIFF, 8, 3, 1_000)]
MADE = BASE[100:1_100] + NEW[1_000:]


def applied(folder: Path, patch: bytes, base: bytes | None, wanted: FileRef) -> bytes:
    (folder / "patch").write_bytes(patch)
    if base is not None:
        (folder / "base").write_bytes(base)
    old = folder / "base" if base is not None else None
    apply_patch(folder / "patch", old, wanted, folder / "made")
    return (folder / "made").read_bytes()


def test_every_kind_of_segment_makes_what_it_should(tmp_path: Path) -> None:
    assert applied(tmp_path, frame(content(BASE, MADE, ALL)), BASE, ref(MADE)) == MADE
    assert {path.name for path in tmp_path.iterdir()} == {"patch", "base", "made"}


@st.composite
def cases(draw: st.DrawFn) -> tuple[bytes, bytes, list[Segment]]:
    """A base, a file and segments that make it."""
    base = draw(st.binary(min_size=64, max_size=200))
    new, segments = b"", []
    for _ in range(draw(st.integers(1, 6))):
        kind, width = draw(st.sampled_from((COPY, DATA, DIFF))), draw(st.sampled_from(WIDTHS))
        length = width * draw(st.integers(1, 8))
        offset = draw(st.integers(0, len(base) - length)) if kind != DATA else 0
        segments.append(Segment(kind, width, offset, length))
        body = draw(st.binary(min_size=length, max_size=length))
        new += base[offset : offset + length] if kind == COPY else body
    return base, new, segments


@given(cases())
def test_any_patch_makes_what_it_was_made_for(
    tmp_path_factory: pytest.TempPathFactory, case: tuple[bytes, bytes, list[Segment]]
) -> None:
    base, new, segments = case
    folder = tmp_path_factory.mktemp("any")
    assert applied(folder, frame(content(base, new, segments)), base, ref(new)) == new


@pytest.mark.parametrize("kind", [DATA, DIFF])
def test_words_beyond_one_block_are_shuffled_block_by_block(tmp_path: Path, kind: int) -> None:
    length = 2 * (BLOCK_WORDS + 7)
    base, new = noise(length), noise(length, 2)
    patch = frame(content(base, new, [Segment(kind, 2, 0, length)]))
    assert applied(tmp_path, patch, base, ref(new)) == new


RIGHT = content(BASE, MADE, ALL)
SHORT = content(BASE, MADE, [Segment(COPY, 1, 0, 10)])
WRONG: dict[str, tuple[bytes, str]] = {
    "not zstd": (b"PK" + RIGHT, "cannot be applied"),
    "nothing": (b"", "truncated"),
    "cut": (frame(RIGHT)[:-40], "truncated"),
    "the end of the content is missing": (frame(RIGHT[:-1]), "truncated"),
    "more follows": (frame(RIGHT + b"x"), "makes more than its result"),
    "gigabytes of zeros follow": (frame(RIGHT + bytes(1 << 28)), "makes more than its result"),
    "a window of gigabytes": (frame(RIGHT + bytes(9 << 20), window_log=27), "cannot be applied"),
    "other magic": (frame(b"EDGEPACK" + RIGHT[8:]), "wrong magic"),
    "other format": (frame(RIGHT[:8] + b"\x09" + RIGHT[9:]), "format 1, got 9; update edge_sdk"),
    "a header of gigabytes": (frame(RIGHT[:12] + b"\xff" * 4 + RIGHT[16:]), "at most 4096"),
    "no segment": (frame(SHORT[:-18]), "truncated"),
    "a segment of nothing": (
        frame(SHORT[:-18] + Segment(DATA, 1, 0, 0).to_bytes()), "beyond the result",
    ),
    "a segment beyond the result": (
        frame(SHORT[:-18] + Segment(DATA, 1, 0, 4_001).to_bytes()), "beyond the result",
    ),
    "a segment beyond the base": (
        frame(SHORT[:-18] + Segment(COPY, 1, 3_999, 2).to_bytes()), "beyond the base",
    ),
    "a segment from beyond all numbers": (
        frame(SHORT[:-18] + Segment(DIFF, 1, 2**64 - 1, 2).to_bytes()), "beyond the base",
    ),
    "an unknown kind": (frame(SHORT[:-18] + Segment(3, 1, 0, 1).to_bytes()), "a known segment"),
    "an unknown width": (frame(SHORT[:-18] + Segment(1, 3, 0, 3).to_bytes()), "a known segment"),
    "half a word": (frame(SHORT[:-18] + Segment(1, 4, 0, 3).to_bytes()), "whole words"),
    "another result": (frame(content(BASE, NEW, [Segment(DATA, 1, 0, 4_000)])), "another file"),
    "a bit is wrong": (frame(RIGHT[:-1] + bytes([RIGHT[-1] ^ 1])), "another SHA-256"),
    "it needs no base": (frame(content(None, MADE, [Segment(DATA, 1, 0, 4_000)])), "another base"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_patch_that_is_wrong_is_refused_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    patch, reason = WRONG[name]
    with pytest.raises(PatchError, match=reason):
        applied(tmp_path, patch, BASE, ref(MADE))
    assert {path.name for path in tmp_path.iterdir()} == {"patch", "base"}


def test_a_base_that_is_another_or_damaged_is_not_built_upon(tmp_path: Path) -> None:
    patch = frame(RIGHT)
    for base in (NEW, BASE[:-1], bytes([BASE[0] ^ 1]) + BASE[1:]):
        with pytest.raises(PatchError, match="base here is not the file that it is made for"):
            applied(tmp_path, patch, base, ref(MADE))
    (tmp_path / "base").unlink()
    with pytest.raises(PatchError, match="No such file"):
        apply_patch(tmp_path / "patch", tmp_path / "base", ref(MADE), tmp_path / "made")
    with pytest.raises(PatchError, match="made for another base"):
        apply_patch(tmp_path / "patch", None, ref(MADE), tmp_path / "made")


def test_what_the_patch_says_of_its_result_is_not_believed(tmp_path: Path) -> None:
    """The patch agrees with itself, and is another file than the one that was signed."""
    for wanted in (ref(NEW), replace(ref(MADE), length=3_999)):
        with pytest.raises(PatchError, match="another file than the signed one"):
            applied(tmp_path, frame(RIGHT), BASE, wanted)


KILLED = """
import os, signal, sys
from pathlib import Path
from edge_sdk.contract.manifest import FileRef
from edge_sdk.update import patch
left = int(sys.argv[1])
def counted(call):
    def counting(*arguments):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments)
    return counting
os.fsync, Path.replace = counted(os.fsync), counted(Path.replace)
patch.fsync_directory = counted(patch.fsync_directory)
folder = Path(sys.argv[2])
wanted = FileRef(int(sys.argv[3]), sys.argv[4])
patch.apply_patch(folder / "patch", folder / "base", wanted, folder / "made")
"""


def test_a_process_that_is_killed_while_it_applies_leaves_the_whole_file_or_none(
    tmp_path: Path,
) -> None:
    """At each call that makes something durable; and the next attempt completes."""
    (tmp_path / "patch").write_bytes(frame(RIGHT))
    (tmp_path / "base").write_bytes(BASE)
    wanted = ref(MADE)
    there = []
    for left in range(3):
        command = [sys.executable, "-c", KILLED, str(left), tmp_path, "4000", wanted.sha256]
        killed = subprocess.run(command, check=False, timeout=PATIENCE)
        assert killed.returncode == -signal.SIGKILL
        made = tmp_path / "made"
        there.append(made.exists())
        assert not made.exists() or made.read_bytes() == MADE
        apply_patch(tmp_path / "patch", tmp_path / "base", wanted, made)
        assert made.read_bytes() == MADE
        made.unlink()
    assert there == [False, False, True]


LOW = """
import resource, sys
from pathlib import Path
from edge_sdk.contract.manifest import FileRef
from edge_sdk.update.patch import apply_patch
here = lambda name: int(Path("/proc/self/status").read_text().split(name)[1].split()[0])
before = here("VmRSS:")
resource.setrlimit(resource.RLIMIT_AS, ((here("VmSize:") << 10) + (64 << 20),) * 2)
folder = Path(sys.argv[1])
wanted = FileRef(int(sys.argv[2]), sys.argv[3])
apply_patch(folder / "patch", folder / "base", wanted, folder / "made")
print(here("VmHWM:") - before)
"""


def test_200_megabytes_are_patched_in_64_megabytes_of_memory(tmp_path: Path) -> None:
    """With an address space that allows no more; of real memory it takes less than 24 MB."""
    blocks, size = 400, 4 * BLOCK_WORDS
    before = b"\x01\x02\x03\x04" * BLOCK_WORDS
    after = b"\x02\x02\x03\x04" * BLOCK_WORDS
    refs = []
    for block in (before, after):
        digest = hashlib.sha256()
        for _ in range(blocks):
            digest.update(block)
        refs.append(FileRef(blocks * size, digest.hexdigest()))
    with (tmp_path / "base").open("wb") as file:
        for _ in range(blocks):
            file.write(before)
    # Every word is one more: folded, its lowest byte is 2 and the others 0.
    body = b"\x02" * BLOCK_WORDS + bytes(3 * BLOCK_WORDS)
    head = PatchHeader(refs[1], refs[0]).to_bytes() + Segment(DIFF, 4, 0, blocks * size).to_bytes()
    (tmp_path / "patch").write_bytes(frame(head, *[body] * blocks))
    command = [sys.executable, "-c", LOW, tmp_path, str(blocks * size), refs[1].sha256]
    grown = subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=PATIENCE
    ).stdout
    assert int(grown) < 24 << 10
