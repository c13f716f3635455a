"""One bit flips on the disk, anywhere in a file: never a wrong answer, and never without a word."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_sdk import EdgeDevice
from edge_sdk.contract.pack import parse_header
from edge_sdk.errors import EdgeError, InputError, PackError, ReleaseError
from edge_sdk.model.keys import Canonicaliser
from edge_sdk.model.release import Release
from edge_sdk.model.session import Model
from edge_sdk.packs.entity_features import EntityFeatures, write_entity_features
from edge_sdk.packs.reader import Pack
from edge_sdk.packs.writer import write_pack
from edge_sdk.serving.scrub import Scrub
from tests.edge.builders import CLASSES, make_release, rows, softmax

FLIPS = 100
ROWS = rows(200)
USERS = [f"user-{i}" for i in range(200)]


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return make_release(tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="module")
def pack(release: Release) -> tuple[Path, np.ndarray]:
    """A pack of every row, whose answers are not the model's."""
    path = release.folder.parent / "pack"
    key = Canonicaliser(release.manifest.signature).key
    keys = np.frombuffer(b"".join(key(x.tobytes()) for x in ROWS), np.uint8).reshape(-1, 16)
    answers = np.random.default_rng(3).dirichlet(np.ones(CLASSES), len(ROWS)).astype(np.float32)
    write_pack(path, release, keys, {"probabilities": answers}, answered_by="t")
    return path, answers


def flipped(path: Path, to: Path) -> Iterator[int]:
    """Write copies of ``path`` with one other bit each; yields the byte."""
    chance, raw = random.Random(7), path.read_bytes()
    for _ in range(FLIPS):
        bit = chance.randrange(8 * len(raw))
        damaged = bytearray(raw)
        damaged[bit // 8] ^= 1 << bit % 8
        to.write_bytes(damaged)
        yield bit // 8


def is_used(path: Path, place: int) -> bool:
    """Return whether a byte of a pack means anything: padding after the header does not."""
    raw = path.read_bytes()
    _, directory = parse_header(raw)
    return place >= directory or place < 20 + int.from_bytes(raw[12:16], "little")


@pytest.mark.parametrize("name", ["model.onnx", "profile.json", "golden.npz"])
def test_a_bit_that_flips_in_a_release_is_an_error_that_names_the_file(
    tmp_path: Path, name: str
) -> None:
    release = make_release(tmp_path)
    use = {
        "model.onnx": lambda: Model.load(release),
        "profile.json": release.profile,
        "golden.npz": release.golden,
    }[name]
    copy = tmp_path / "whole"
    copy.write_bytes((release.folder / name).read_bytes())
    for _ in flipped(copy, release.folder / name):
        with pytest.raises(ReleaseError, match=rf"{name}: expected SHA-256"):
            use()


def test_a_bit_that_flips_in_a_manifest_is_found_by_the_name_of_its_release(
    tmp_path: Path,
) -> None:
    release = make_release(tmp_path)
    copy = tmp_path / "whole"
    copy.write_bytes((release.folder / "manifest.json").read_bytes())
    for _ in flipped(copy, release.folder / "manifest.json"):
        with pytest.raises(ReleaseError, match=r"manifest.json: expected SHA-256"):
            Release.open(release.folder, verify=False, digest=release.digest)


def test_a_bit_that_flips_in_a_pack_never_makes_a_wrong_answer_and_is_named(
    release: Release, pack: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    path, answers = pack
    expected = {"pack": answers, "model": softmax(ROWS, 0)}
    refused = damaged = 0
    for place in flipped(path, tmp_path / "p"):
        try:
            device = EdgeDevice.offline(release.folder, pack=tmp_path / "p")
        except PackError:
            refused += 1
            continue
        with device:
            for i, x in enumerate(ROWS):
                p = device.predict(x)
                assert np.allclose(p.probabilities, expected[p.source][i], atol=1e-6), place
            serving = device._service.serving
            assert serving is not None
            while serving.scrub.step():  # what the thread does in the background
                pass
            named = device.status()["damaged"].get("1.0", {})
            assert ("pack" in named) == is_used(path, place), place
            damaged += "pack" in named
    assert refused + damaged > FLIPS * 0.9


def test_a_damaged_block_is_left_to_the_model_at_its_first_touch(
    release: Release, pack: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    path, _ = pack
    with Pack.open(path, release) as whole:
        at = whole._sections.values + whole.header.value_bytes * 5 + 2
        key = whole.keys()[5].tobytes()
    raw = bytearray(path.read_bytes())
    raw[at] ^= 4
    (tmp_path / "p").write_bytes(raw)
    with Pack.open(tmp_path / "p", release) as pack_:
        assert (pack_.damage, pack_.get(key)) == (None, None)
        assert pack_.damage is not None
        assert "block 0 is damaged" in pack_.damage


def test_a_bit_that_flips_in_stored_features_never_gives_another_row(
    release: Release, tmp_path: Path
) -> None:
    values = np.random.default_rng(5).normal(size=(len(USERS), 4)).astype(np.float32)
    columns = {f"f{i}": values[:, i] for i in range(4)}
    path = tmp_path / "features"
    write_entity_features(path, release, USERS, columns, defaults=dict.fromkeys(columns, 0.0))
    refused = 0
    for place in flipped(path, tmp_path / "f"):
        try:
            features = EntityFeatures.open(tmp_path / "f", release)
        except EdgeError:
            refused += 1
            continue
        for user, row in zip(USERS, values, strict=True):
            try:
                joined, stored = features.join(user, {})
            except InputError as error:
                refused += "damaged on the disk" in str(error)
                break
            assert (stored, list(joined.values())) == (True, row.tolist()), place
        features.close()
    assert refused > FLIPS * 0.8


def test_what_is_damaged_after_it_was_read_is_found_the_next_day(tmp_path: Path) -> None:
    release = make_release(tmp_path)
    now = 0.0
    scrub = Scrub(release, clock=lambda: now)
    while scrub.step():
        pass
    raw = bytearray((release.folder / "certificate.json").read_bytes())
    raw[9] ^= 1
    (release.folder / "certificate.json").write_bytes(raw)
    assert (scrub.step(), scrub.damage) == (False, {})
    now = 86_400.0
    while scrub.step():
        pass
    assert set(scrub.news()) == {"certificate.json"}
    assert (set(scrub.damage), scrub.news()) == ({"certificate.json"}, {})
