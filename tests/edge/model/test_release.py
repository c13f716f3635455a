"""Release folders: whole, or refused by the name of the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_sdk.contract.manifest import CERTIFICATE, GOLDEN, MANIFEST, MODEL, PROFILE
from edge_sdk.errors import ReleaseError
from edge_sdk.model.release import Golden, Release, save_arrays
from edge_sdk.telemetry.histograms import histogram
from edge_sdk.telemetry.latency import latency_bins, percentile
from tests.edge.builders import make_release


def test_a_release_opens_as_it_was_written(tmp_path: Path) -> None:
    made = make_release(tmp_path)
    again = Release.open(made.folder)
    assert (again.digest, again.manifest) == (made.digest, made.manifest)
    assert again.golden().inputs["X"].shape == (16, 4)


def test_the_same_release_has_the_same_digest(tmp_path: Path) -> None:
    assert make_release(tmp_path / "a").digest == make_release(tmp_path / "b").digest
    assert make_release(tmp_path / "c", seed=1).digest != make_release(tmp_path / "d").digest


@pytest.mark.parametrize("name", [MODEL, PROFILE, GOLDEN, CERTIFICATE])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_file_is_found_by_name(tmp_path: Path, name: str, damage: str) -> None:
    release = make_release(tmp_path)
    path = release.folder / name
    raw = bytearray(path.read_bytes())
    if damage == "remove":
        path.unlink()
    else:
        raw[len(raw) // 2] ^= 1
        path.write_bytes(raw if damage == "flip" else raw[:-1])
    with pytest.raises(ReleaseError, match=name):
        Release.open(release.folder)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"format": 9}'])
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    release = make_release(tmp_path)
    (release.folder / MANIFEST).write_bytes(content)
    with pytest.raises(ReleaseError, match=MANIFEST):
        Release.open(release.folder)


def test_a_folder_that_exists_is_not_written_over(tmp_path: Path) -> None:
    make_release(tmp_path)
    with pytest.raises(ReleaseError, match="cannot write the release"):
        make_release(tmp_path)


def test_golden_vectors_that_are_none_are_refused() -> None:
    for raw in (b"", b"PK\x03\x04", save_arrays({"x": np.zeros(1)})):
        with pytest.raises(ReleaseError, match="expected golden vectors"):
            Golden.from_bytes(raw)


def test_every_value_falls_into_exactly_one_bin() -> None:
    from edge_sdk.contract.profile import FeatureProfile

    feature = FeatureProfile("f", (0,) * 5, edges=(0.0, 1.0, 2.0, 3.0))
    values = [0.0, 0.5, 1.0, 2.5, 3.0, np.nan, -0.1, 3.1, np.inf]
    assert histogram(feature, values).tolist() == [2, 1, 2, 1, 3]
    constant = FeatureProfile("c", (0,) * 3, edges=(7.0,))
    assert histogram(constant, [7.0, 7.0, 8.0, np.nan]).tolist() == [2, 1, 1]
    texts = FeatureProfile("t", (0,) * 4, categories=("1", "a"))
    assert histogram(texts, ["a", 1, 1.0, True, None, "z"]).tolist() == [3, 1, 1, 1]


def test_latency_bins_hold_what_they_say() -> None:
    assert latency_bins(np.array([0, 900, 1_000, 1_190, 1_000_000, 10**12])).tolist() == [
        0, 0, 0, 1, 39, 63,
    ]  # fmt: skip
    counts = [0] * 64
    counts[4] = 99
    counts[20] = 1
    assert percentile(counts, 0.5) == pytest.approx(2 ** (5 / 4))
    assert percentile(counts, 0.999) == pytest.approx(2 ** (21 / 4))
    assert percentile([0] * 64, 0.5) is None
