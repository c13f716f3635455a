"""Deltas between packs: the very file comes out, or nothing does."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_sdk.contract.pack import parse_header
from edge_sdk.contract.pack_delta import PREFIX, why_no_delta
from edge_sdk.errors import PackError
from edge_sdk.model.release import Release
from edge_sdk.packs.delta import apply_delta, read_delta, write_delta
from edge_sdk.packs.reader import Pack
from tests.edge.builders import make_release
from tests.edge.packs.builders import random_keys, value_release, write

SLOW = settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
ENTRIES = st.dictionaries(
    st.binary(min_size=2, max_size=2).map(lambda b: b[:1] + bytes(14) + b[1:]),
    st.integers(0, 3),
    max_size=60,
)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return value_release(make_release(tmp_path_factory.mktemp("release")), "int16", 2)


def write_entries(path: Path, release: Release, entries: dict[bytes, int], **more: Any) -> bytes:
    keys = np.frombuffer(b"".join(entries), np.uint8).reshape(-1, 16)
    values = np.array([[v, -v] for v in entries.values()], np.int16).reshape(-1, 2)
    write(path, release, keys, y=values, **more)
    return path.read_bytes()


def large(path: Path, release: Release, changed: int, added: int, removed: int) -> None:
    keys, values = random_keys(20_000), np.arange(40_000, dtype=np.int16).reshape(-1, 2)
    values[:changed] += 1
    keys = np.concatenate([keys[: 20_000 - removed], random_keys(added, seed=9)])
    values = np.concatenate([values[: 20_000 - removed], np.zeros((added, 2), np.int16)])
    write(path, release, keys, y=values, expires=2_000_000_000)


@SLOW
@given(ENTRIES, ENTRIES, ENTRIES)
def test_any_pack_is_made_of_any_other_byte_for_byte(
    release: Release,
    tmp_path: Path,
    base: dict[bytes, int],
    more: dict[bytes, int],
    also: dict[bytes, int],
) -> None:
    write_entries(tmp_path / "old", release, base | more, expires=5)
    # Some entries are gone, some have another value, some are new; what shrank may need padding.
    new = {key: value for key, value in (base | also).items() if value != 2}
    wanted = write_entries(tmp_path / "new", release, new, answered_by="x" * 3_000)
    (tmp_path / "d").unlink(missing_ok=True)
    (tmp_path / "made").unlink(missing_ok=True)
    if write_delta(tmp_path / "old", tmp_path / "new", tmp_path / "d") is None:
        assert not (tmp_path / "d").exists()
        return
    assert (tmp_path / "d").stat().st_size < len(wanted)
    apply_delta(tmp_path / "old", tmp_path / "d", tmp_path / "made")
    assert (tmp_path / "made").read_bytes() == wanted


@pytest.mark.parametrize(
    ("changed", "added", "removed"),
    [(0, 0, 0), (1_000, 0, 0), (0, 1_000, 0), (0, 0, 1_000), (300, 300, 300), (1, 0, 19_000)],
)
def test_what_changed_travels_and_nothing_else(
    release: Release, tmp_path: Path, changed: int, added: int, removed: int
) -> None:
    large(tmp_path / "old", release, 0, 0, 0)
    large(tmp_path / "new", release, changed, added, removed)
    header = write_delta(tmp_path / "old", tmp_path / "new", tmp_path / "d")
    assert header is not None
    assert (header.changed.count, header.added.count, header.removed.count) == (
        changed, added, removed,
    )  # fmt: skip
    apply_delta(tmp_path / "old", tmp_path / "d", tmp_path / "made")
    assert (tmp_path / "made").read_bytes() == (tmp_path / "new").read_bytes()
    with Pack.open(tmp_path / "made", release, now=0) as pack:
        pack.verify()


@pytest.mark.parametrize("width", [1, 3, 10])
@pytest.mark.parametrize("how", ["other values", "other keys"])
def test_five_in_a_hundred_entries_changed_take_at_most_five_and_a_half_in_a_hundred_bytes(
    release: Release, tmp_path: Path, width: int, how: str
) -> None:
    shaped = value_release(release, "float32", width)
    keys, values = random_keys(50_000), np.random.default_rng(0).random((50_000, width), np.float32)
    write(tmp_path / "old", shaped, keys, y=values)
    if how == "other values":
        values[::20] += 1
    else:
        keys[::20] = random_keys(2_500, seed=9)
    write(tmp_path / "new", shaped, keys, y=values)
    assert write_delta(tmp_path / "old", tmp_path / "new", tmp_path / "d") is not None
    share = (tmp_path / "d").stat().st_size / (tmp_path / "new").stat().st_size
    assert share <= 0.055


@pytest.fixture(scope="module")
def small(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``old``, ``new`` and the delta ``d``, a few hundred bytes long."""
    folder = tmp_path_factory.mktemp("small")
    entries = {key.tobytes(): i % 7 for i, key in enumerate(random_keys(300))}
    write_entries(folder / "old", release, entries)
    changed = dict(list(entries.items())[5:]) | {random_keys(1, seed=3)[0].tobytes(): 9}
    changed[next(iter(changed))] = 11
    write_entries(folder / "new", release, changed)
    assert write_delta(folder / "old", folder / "new", folder / "d") is not None
    return folder


@SLOW
@given(st.data())
def test_one_flipped_bit_anywhere_is_refused_and_leaves_nothing(
    small: Path, tmp_path: Path, data: st.DataObject
) -> None:
    raw = bytearray((small / "d").read_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= 1 << data.draw(st.integers(0, 7))
    (tmp_path / "d").write_bytes(raw)
    with pytest.raises(PackError):
        apply_delta(small / "old", tmp_path / "d", tmp_path / "made")
    assert {path.name for path in tmp_path.iterdir()} == {"d"}


def test_a_delta_cut_anywhere_is_refused_and_leaves_nothing(small: Path, tmp_path: Path) -> None:
    raw = (small / "d").read_bytes()
    for length in range(len(raw)):
        (tmp_path / "d").write_bytes(raw[:length])
        with pytest.raises(PackError):
            apply_delta(small / "old", tmp_path / "d", tmp_path / "made")
    assert {path.name for path in tmp_path.iterdir()} == {"d"}


def test_a_sealed_delta_with_other_content_is_refused_by_what_it_makes(
    small: Path, tmp_path: Path
) -> None:
    """Whoever seals a wrong delta anew is found out by the digests of the new pack."""
    raw = (small / "d").read_bytes()
    header_end = PREFIX.size + PREFIX.unpack_from(raw)[2]
    for at in range(header_end, len(raw) - 32):
        wrong = bytearray(raw[:-32])
        wrong[at] ^= 1
        (tmp_path / "d").write_bytes(wrong + hashlib.sha256(wrong).digest())
        with pytest.raises(PackError):
            apply_delta(small / "old", tmp_path / "d", tmp_path / "made")
    assert {path.name for path in tmp_path.iterdir()} == {"d"}


def other_base(small: Path, folder: Path) -> None:
    (folder / "old").write_bytes((small / "new").read_bytes())


def damaged_base(small: Path, folder: Path) -> None:
    raw = bytearray((small / "old").read_bytes())
    raw[-70] ^= 1
    (folder / "old").write_bytes(raw)


def torn_base(small: Path, folder: Path) -> None:
    (folder / "old").write_bytes((small / "old").read_bytes()[:-64])


def no_base(small: Path, folder: Path) -> None:
    return


def a_pack_instead_of_a_delta(small: Path, folder: Path) -> None:
    (folder / "old").write_bytes((small / "old").read_bytes())
    (folder / "d").write_bytes((small / "new").read_bytes())


def another_format(small: Path, folder: Path) -> None:
    (folder / "old").write_bytes((small / "old").read_bytes())
    raw = (small / "d").read_bytes()
    (folder / "d").write_bytes(raw[:8] + (99).to_bytes(4, "little") + raw[12:])


REFUSED = {
    "made for another pack": (other_base, "made for another pack"),
    "the old pack is damaged": (damaged_base, "the result is not the new pack"),
    "the old pack is torn": (torn_base, "it is truncated"),
    "the old pack is not there": (no_base, "cannot open the pack"),
    "a pack instead of a delta": (a_pack_instead_of_a_delta, "not a delta"),
    "an unknown format": (another_format, "expected format 1, got 99"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_applied_is_refused_and_leaves_nothing(
    small: Path, tmp_path: Path, case: str
) -> None:
    prepare, message = REFUSED[case]
    (tmp_path / "d").write_bytes((small / "d").read_bytes())
    prepare(small, tmp_path)
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(PackError, match=message):
        apply_delta(tmp_path / "old", tmp_path / "d", tmp_path / "made")
    assert {path.name for path in tmp_path.iterdir()} == before


def test_other_layouts_and_other_models_make_no_delta_and_it_is_said_why(
    release: Release, small: Path, tmp_path: Path
) -> None:
    wider = value_release(release, "int16", 3)
    write(tmp_path / "wide", wider, random_keys(300), y=np.zeros((300, 3), np.int16))
    assert write_delta(small / "old", tmp_path / "wide", tmp_path / "d") is None
    assert not (tmp_path / "d").exists()
    old, _ = parse_header((small / "old").read_bytes())
    wide, _ = parse_header((tmp_path / "wide").read_bytes())
    assert why_no_delta(old, wide) == "their values are laid out differently"
    assert why_no_delta(old, replace(old, model="other")) is not None
    assert why_no_delta(old, replace(old, version="2.0", expires=7)) is None


def test_no_delta_is_made_of_a_damaged_pack(small: Path, tmp_path: Path) -> None:
    raw = bytearray((small / "new").read_bytes())
    raw[-70] ^= 1
    (tmp_path / "new").write_bytes(raw)
    with pytest.raises(PackError, match="damaged"):
        write_delta(small / "old", tmp_path / "new", tmp_path / "d")


def test_a_delta_names_the_file_that_it_makes(small: Path) -> None:
    header = read_delta(small / "d")
    raw = (small / "new").read_bytes()
    assert (header.result.length, header.result.sha256) == (
        len(raw), hashlib.sha256(raw).hexdigest(),
    )  # fmt: skip
