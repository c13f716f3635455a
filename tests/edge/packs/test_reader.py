"""Packs: exact answers, and every damage refused with its reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_sdk.contract.pack import PREFIX, sections
from edge_sdk.contract.version import PACK_FORMAT
from edge_sdk.errors import PackError
from edge_sdk.model.keys import Canonicaliser
from edge_sdk.model.release import Release
from edge_sdk.packs.reader import ABSENT, Pack
from edge_sdk.packs.writer import write_pack
from tests.edge.builders import CLASSES, make_release
from tests.edge.packs.builders import value_release

NOW = 1_800_000_000


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return make_release(tmp_path_factory.mktemp("release"))


def entries(count: int, seed: int = 0) -> tuple[np.ndarray, dict[str, Any]]:
    random = np.random.default_rng(seed)
    keys = random.integers(0, 256, (count, 16), dtype=np.uint8)
    return keys, {"probabilities": random.random((count, CLASSES), dtype=np.float32)}


def write(path: Path, release: Release, count: int = 100, **options: Any) -> tuple[Any, Any]:
    keys, values = entries(count)
    write_pack(path, release, keys, values, answered_by="test 1.0", **options)
    return keys, values


@pytest.mark.parametrize("count", [0, 1, 2, 7, 100, 5_000])
def test_every_key_gets_its_own_answer_and_others_none(
    release: Release, tmp_path: Path, count: int
) -> None:
    keys, values = write(tmp_path / "p", release, count)
    with Pack.open(tmp_path / "p", release) as pack:
        pack.verify()
        assert len(pack) == count
        for key, expected in zip(keys, values["probabilities"], strict=True):
            found = pack.get(key.tobytes())
            assert found is not None
            assert (found["probabilities"] == expected).all()
        strangers, _ = entries(200, seed=1)
        assert all(pack.get(key.tobytes()) is None for key in strangers)
        assert {pack.find(key.tobytes()) for key in strangers} == {ABSENT}


@settings(
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.sets(st.binary(min_size=16, max_size=16), max_size=40))
def test_any_keys_at_all_are_found(release: Release, tmp_path: Path, chosen: set[bytes]) -> None:
    raw = sorted(chosen, key=lambda k: k[::-1])
    keys = np.frombuffer(b"".join(raw), np.uint8).reshape(-1, 16)
    values = np.arange(len(raw) * CLASSES, dtype=np.float32).reshape(-1, CLASSES)
    write_pack(tmp_path / "p", release, keys, {"probabilities": values}, answered_by="x")
    with Pack.open(tmp_path / "p", release) as pack:
        for i, key in enumerate(raw):
            found = pack.get(key)
            assert found is not None
            assert (found["probabilities"] == values[i]).all()


def test_the_same_answer_twice_is_kept_once_and_two_answers_are_refused(
    release: Release, tmp_path: Path
) -> None:
    keys, values = entries(3)
    double = np.concatenate([keys, keys])
    same = {"probabilities": np.concatenate([values["probabilities"]] * 2)}
    assert write_pack(tmp_path / "p", release, double, same, answered_by="x").count == 3
    same["probabilities"][3] += 1
    with pytest.raises(PackError, match="two different answers"):
        write_pack(tmp_path / "p", release, double, same, answered_by="x")


def test_a_pack_of_another_release_is_refused(release: Release, tmp_path: Path) -> None:
    write(tmp_path / "p", release)
    other = make_release(tmp_path, seed=3)
    with pytest.raises(PackError, match="made for release demo 1.0"):
        Pack.open(tmp_path / "p", other)


def test_an_expired_pack_is_refused(release: Release, tmp_path: Path) -> None:
    write(tmp_path / "p", release, expires=NOW)
    Pack.open(tmp_path / "p", release, now=NOW - 1).close()
    with pytest.raises(PackError, match="expired"):
        Pack.open(tmp_path / "p", release, now=NOW)


def test_a_pack_cut_anywhere_is_refused(release: Release, tmp_path: Path) -> None:
    write(tmp_path / "p", release)
    raw = (tmp_path / "p").read_bytes()
    for length in [*range(0, 700, 23), len(raw) - 1]:
        (tmp_path / "cut").write_bytes(raw[:length])
        with pytest.raises(PackError):
            Pack.open(tmp_path / "cut", release)


def test_a_bit_that_flipped_in_the_body_is_found_by_verify(
    release: Release, tmp_path: Path
) -> None:
    write(tmp_path / "p", release)
    raw = bytearray((tmp_path / "p").read_bytes())
    with Pack.open(tmp_path / "p", release) as pack:
        places = sections(pack.header, pack._sections.directory)
    for place in (places.directory, places.keys + 5, places.values + 9, places.end - 1):
        damaged = raw.copy()
        damaged[place] ^= 1
        (tmp_path / "d").write_bytes(damaged)
        with Pack.open(tmp_path / "d", release) as pack, pytest.raises(PackError, match="damaged"):
            pack.verify()


def test_what_is_no_pack_or_of_another_format_is_refused(release: Release, tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(b"x" * 5_000)
    with pytest.raises(PackError, match="not a pack file"):
        Pack.open(tmp_path / "p", release)
    (tmp_path / "p").write_bytes(PREFIX.pack(b"EDGEPACK", 99, 10, 0) + bytes(5_000))
    with pytest.raises(PackError, match=f"expected format {PACK_FORMAT}, got 99"):
        Pack.open(tmp_path / "p", release)
    with pytest.raises(PackError, match="cannot open"):
        Pack.open(tmp_path / "nothing", release)


def test_an_open_pack_survives_its_replacement(release: Release, tmp_path: Path) -> None:
    keys, values = write(tmp_path / "p", release)
    with Pack.open(tmp_path / "p", release) as pack:
        write(tmp_path / "p", release, count=5)
        found = pack.get(keys[50].tobytes())
        assert found is not None
        assert (found["probabilities"] == values["probabilities"][50]).all()


@pytest.mark.parametrize(
    ("keys", "outputs", "message"),
    [
        (
            np.zeros((2, 15), np.uint8),
            {"probabilities": np.zeros((2, 3), np.float32)},
            "keys: expected uint8",
        ),
        (np.zeros((2, 16), np.uint8), {"wisdom": np.zeros((2, 3))}, "outputs: expected some of"),
        (np.zeros((2, 16), np.uint8), {"probabilities": np.zeros((3, 3))}, "expected 2 rows"),
        (np.zeros((2, 16), np.uint8), {"label": np.array(["a", "b"])}, "expected one of"),
    ],
)
def test_what_cannot_be_written_is_refused(
    release: Release, tmp_path: Path, keys: Any, outputs: Any, message: str
) -> None:
    with pytest.raises(PackError, match=message):
        write_pack(tmp_path / "p", release, keys, outputs, answered_by="x")
    assert not (tmp_path / "p").exists()


def test_an_entry_of_ten_floats_takes_at_most_57_bytes(release: Release, tmp_path: Path) -> None:
    keys, _ = entries(100_000)
    values = {"y": np.zeros((100_000, 10), np.float32)}
    write_pack(tmp_path / "p", value_release(release, width=10), keys, values, answered_by="x")
    assert (tmp_path / "p").stat().st_size / 100_000 <= 57
    assert Canonicaliser(release.manifest.signature).name == "dense-float32-v1"
