"""``python -m benchmarks``: a short run writes its files; all stores hold the same answers."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks import served_networks, trees
from benchmarks.__main__ import PICTURE, main
from benchmarks.models import release_of
from benchmarks.packs import Content
from benchmarks.peers import KINDS, Kind, dict_get, drop_from_memory, from_row, size_of
from benchmarks.wire import Traffic, measured, report
from benchmarks.wire_files import Pair, network, trained_network
from converters import convert
from edge_sdk import EdgeDevice
from edge_sdk.bench import machine
from edge_sdk.bench.harness import QUICK
from edge_sdk.bench.result import BenchResult, Findings, GoalRow, load
from edge_sdk.model.release import Release
from edge_sdk.telemetry.tensor_watch import TensorWatch


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return release_of("forest-100", tmp_path_factory.mktemp("forest"))


def pairs(content: Content, count: int) -> list[tuple[bytes, bytes]]:
    keys, values = content.entries(count)
    return [(k.tobytes(), v.tobytes()) for k, v in zip(keys, values, strict=True)]


def test_entries_are_sorted_different_and_hold_the_answers_to_the_real_rows(
    release: Release,
) -> None:
    content = Content.of(release, 50)
    entries = pairs(content, 1_000)
    keys = [key for key, _ in entries]
    assert keys == sorted(set(keys))
    assert len(keys) == 1_000
    table = dict(entries)
    for key, answer in zip(content.key_bytes, content.answers, strict=True):
        assert table[key] == answer.tobytes()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.store.__name__)
def test_a_store_gives_what_was_put_in_and_nothing_else(
    kind: Kind, release: Release, tmp_path: Path
) -> None:
    content = Content.of(release, 50)
    entries = pairs(content, 300)
    path = tmp_path / "store"
    kind.store.write(path, iter(entries), len(entries))
    drop_from_memory(path)
    store = kind.store.open(path)
    try:
        for key, value in entries:
            found = store.get(key)
            assert found is not None
            assert found.tobytes() == value
        assert store.get(bytes(16)) is None
    finally:
        store.close()
    assert size_of(path) >= 300 * 56


def test_what_is_written_around_a_store_answers_as_the_model_does(release: Release) -> None:
    content = Content.of(release, 50)
    look_up = from_row(dict_get(iter(pairs(content, 100))), content.prefix)
    found = [look_up(row) for row in content.rows]
    assert np.array_equal(found, content.answers.argmax(axis=1))


def test_parts_that_are_not_measured_again_are_kept(tmp_path: Path) -> None:
    kept = Findings((), (GoalRow(1, "speed", 2.0, "x"),), {"bytes": 5.0}, ("a note",))
    other = kept.under("forest-100") + kept.under("gone")
    elsewhere = {"cpu": "another one"}
    BenchResult("benchmarks", other, elsewhere, {}).save(tmp_path / "results.json")
    words = ["--quick", "--only", "packs", "--entries", "200", "--out", str(tmp_path)]
    assert main(words) == 0
    result = load(tmp_path / "results.json")
    note = Findings(notes=("measured on cpu another one",))
    assert result.findings.of("forest-100") == kept + note
    assert machine.facts()["cpu"] in result.findings.of("packs").notes[-1]
    assert result.findings.of("packs").timings
    assert result.findings.of("gone") == Findings()
    assert "## forest-100" in (tmp_path / "RESULTS.md").read_text()


def test_a_quick_run_writes_report_figures_and_picture(tmp_path: Path) -> None:
    words = ["--quick", "--only", "packs", "--entries", "400", "200", "--out", str(tmp_path)]
    assert main(words) == 0
    assert {p.name for p in tmp_path.iterdir()} == {"RESULTS.md", "results.json", PICTURE}
    result = load(tmp_path / "results.json")
    groups = {timing.group for timing in result.findings.timings}
    for size in (200, 400):
        for kind in ("lookup by key", "lookup from a row", "cold lookup by key"):
            assert f"packs: {kind}, {size} entries" in groups
    by_key = [t.name for t in result.findings.timings if t.group.endswith("by key, 400 entries")]
    assert {"pack", "dict", *(kind.name for kind in KINDS)} <= set(by_key)
    report = (tmp_path / "RESULTS.md").read_text()
    assert "| 4 | a pack hit end to end, largest against smallest pack | ≤ 1.5× |" in report
    assert "goals are met" in report


@pytest.mark.parametrize("name", served_networks.NETWORKS)
def test_a_network_is_of_the_size_that_its_name_says_and_is_watched(
    name: str, tmp_path: Path
) -> None:
    release = served_networks.NETWORKS[name](tmp_path)
    wanted = int(re.findall(r"\d+", name)[0]) * 1e6
    assert release.model_path.stat().st_size == pytest.approx(wanted, rel=0.1)
    feed = {n: tensor[:1] for n, tensor in release.golden().inputs.items()}
    with EdgeDevice.offline(release.folder) as device:
        assert device.predict(feed).probabilities.shape == (served_networks.CLASSES,)
    assert TensorWatch.of(release.profile(), release.manifest.signature) is not None


def test_a_case_of_conversion_has_bytes_flips_and_speeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "gradient boosting, two classes"
    monkeypatch.setattr(trees, "CASES", {name: trees.CASES[name]})
    # With a budget the smallest file within is taken, whatever this machine measures of times.
    monkeypatch.setattr(
        trees, "convert", functools.partial(convert, variants=["compact-trees"], budget="size<=9MB")
    )
    found = trees.measure(tmp_path, QUICK, lambda what: None)
    told = {claim.what.removesuffix(f", {name}"): claim.measured for claim in found.claims}
    assert told[trees.FLIPS.what] == 0
    assert told[trees.SMALL.what] < 0.5
    assert {trees.NO_SLOWER.what, trees.SECONDS.what} < set(told)
    assert {t.name for t in found.timings} == {trees.OURS, trees.PLAIN, trees.LIBRARY}


def test_the_table_of_bytes_has_each_form_and_what_a_device_takes(tmp_path: Path) -> None:
    base = network(trained_network(0.5), tmp_path / "base")
    new = network(trained_network(0.5, "head"), tmp_path / "new")
    sizes = measured(Pair("head", base, new), tmp_path)
    assert sizes.ours == sizes.delta < sizes.bsdiff < sizes.compressed < sizes.zstd < sizes.whole
    page = report([sizes], [Traffic("head", sizes.whole, 1_000.0)], devices=2)
    assert f"| head | {sizes.whole:,} |" in page
