"""Certificates on other rows: they hold where they should, and say why where they do not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cloud_hub.certificates import answers as spread_answers
from cloud_hub.certificates.answers import variant_answers
from cloud_hub.certificates.holding import held
from cloud_hub.certificates.rows import rows_of
from cloud_hub.cli.main import main
from cloud_hub.engine.local import LocalEngine
from cloud_hub.errors import HubFault, Invalid
from converters import Tolerances, convert
from edge_sdk.model.release import Release
from tests.converters import builders

LOOSE = Tolerances(flips=0.2, probability=1.0, accuracy_drop=0.2)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    X, y = builders.data_of("scaler and MLP")
    return convert(
        builders.model("scaler and MLP"), X, y, name="m", ship=["float32"],
        out=tmp_path_factory.mktemp("certify") / "r", variants=["int8-storage"], tolerances=LOOSE,
    )  # fmt: skip


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    X, y = builders.data_of("scaler and MLP")
    np.savez(tmp_path / "rows.npz", X=np.asarray(X), y=np.asarray(y))
    return tmp_path / "rows.npz"


def test_shares_and_processes_change_no_byte_of_the_verdict(
    release: Release, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spread_answers, "SHARE_ROWS", 64)
    feed, truth = rows_of(release, rows, None)
    told: list[float] = []
    one = variant_answers(LocalEngine(), release, feed, told.append)
    two = variant_answers(LocalEngine(2), release, feed)
    assert (len(told) > 4, told[-1], sorted(one)) == (True, 1.0, ["float32", "int8-storage"])
    for name, outputs in one.items():
        for output, array in outputs.items():
            assert array.tobytes() == two[name][output].tobytes()
    assert truth is not None
    found = held(release, one, truth, len(truth))
    assert (found.reference, found.rows, found.holds) == ("float32", len(truth), True)
    named = {variant.name: variant for variant in found.variants}
    exact, smaller = named["float32"], named["int8-storage"]
    assert (exact.label_flips, exact.max_difference) == (0.0, 0.0)
    assert 0 < smaller.max_difference < 1
    assert smaller.score == pytest.approx(smaller.certified_score, abs=0.1)


def test_labels_that_turned_are_told_with_status_1(
    release: Release, rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["releases", "certify", str(release.folder), "--rows", str(rows)]
    assert main(words) == 0
    assert "holds" in capsys.readouterr().out
    with np.load(rows) as file:
        np.savez(tmp_path / "turned.npz", X=file["X"], y=np.roll(file["y"], 1))
    assert main([*words[:-1], str(tmp_path / "turned.npz"), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert not found["holds"]
    reasons = {each["name"]: each["reason"] for each in found["variants"]}
    assert "was certified to be at least" in reasons["float32"]


def test_a_variant_that_answers_otherwise_does_not_hold(release: Release, rows: Path) -> None:
    feed, truth = rows_of(release, rows, None)
    answers = variant_answers(LocalEngine(), release, feed)
    assert truth is not None
    probabilities = answers["int8-storage"]["probabilities"]
    turned = {"label": np.roll(answers["int8-storage"]["label"], 1), "probabilities": probabilities}
    found = held(release, {**answers, "int8-storage": turned}, truth, len(truth))
    reasons = {each.name: each.reason for each in found.variants}
    assert reasons["float32"] == ""
    assert "label flips" in reasons["int8-storage"]


def test_rows_that_do_not_fit_are_one_error(release: Release, rows: Path, tmp_path: Path) -> None:
    with np.load(rows) as file:
        np.savez(tmp_path / "narrow.npz", X=file["X"][:, :2])
    with pytest.raises(Invalid, match="does not take it"):
        rows_of(release, tmp_path / "narrow.npz", None)
    state = replace(release.manifest.signature, batched=False)
    whole = replace(release, manifest=replace(release.manifest, signature=state))
    with pytest.raises(Invalid, match="answers rows by themselves"):
        rows_of(whole, rows, None)
    with pytest.raises(HubFault, match="has no variant 'none'"):
        spread_answers.answer_share(
            b"p" + str(release.folder).encode(),
            spread_answers._bytes({"variant": np.array("none")}),
        )
