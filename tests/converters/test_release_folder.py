"""What a converted release holds: the same bytes each time, a profile that adds up, lineage."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest

from converters import convert
from converters.certification.profile import BINS, reference_profile
from converters.samples.fingerprint import count_rows, fingerprint
from converters.samples.rows import rows_of
from edge_sdk.contract.histograms import MISSING, OUTSIDE
from edge_sdk.contract.manifest import BOM, CARD, CERTIFICATE, GOLDEN, MANIFEST, MODEL, PROFILE
from tests.converters import builders
from tests.waiting import PATIENCE


def made(name, out, **options):
    X, y = builders.data_of(name)
    return convert(builders.model(name), X, y, name="m", out=out, **options)


def test_the_folder_holds_seven_files_and_nothing_else(tmp_path):
    release = made("voting", tmp_path / "r")
    names = {path.name for path in release.folder.iterdir()}
    assert names == {MANIFEST, MODEL, PROFILE, GOLDEN, CERTIFICATE, CARD, BOM}
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


@pytest.mark.parametrize("name", ["scaler and MLP", "forest", "histogram boosting", "text column"])
def test_the_same_model_gives_the_same_bytes(name, tmp_path):
    first = made(name, tmp_path / "a", variants=["float32"])
    second = made(name, tmp_path / "b", variants=["float32"])
    for file in (MODEL, PROFILE, GOLDEN):
        assert (first.folder / file).read_bytes() == (second.folder / file).read_bytes()


SCRIPT = """
import sys, joblib
from converters import convert
model, X = joblib.load(sys.argv[1])
convert(model, X, name="m", out=sys.argv[2], variants=["float32"])
"""


def test_another_process_with_another_hash_seed_gives_the_same_model_bytes(tmp_path):
    X, _ = builders.data_of("text column")
    joblib.dump((builders.model("text column"), X), tmp_path / "job")
    for seed in ("1", "2"):
        subprocess.run(
            [sys.executable, "-c", SCRIPT, tmp_path / "job", tmp_path / seed],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2],
            check=True,
            timeout=PATIENCE,
        )
    assert (tmp_path / "1" / MODEL).read_bytes() == (tmp_path / "2" / MODEL).read_bytes()


def test_golden_vectors_are_the_originals_answers_extremes_included(tmp_path):
    release = made("forest", tmp_path / "r")
    golden, (X, _) = release.golden(), builders.data_of("forest")
    rows = golden.inputs["X"]
    expected = builders.model("forest").predict_proba(rows)
    np.testing.assert_allclose(golden.outputs["probabilities"], expected, atol=1e-6)
    assert (rows == X.max(axis=0).astype(np.float32)).all(axis=1).any()
    assert (rows == 0).all(axis=1).any()
    assert golden.tolerance <= 1e-3


def test_golden_vectors_of_text_columns_need_no_pickle(tmp_path):
    golden = made("text column", tmp_path / "r").golden()
    assert golden.inputs["city"].dtype.kind == "U"
    assert set(golden.outputs["label"]) <= {"now", "later"}


def test_the_profile_counts_every_row_once_in_each_feature(tmp_path):
    release = made("imputer", tmp_path / "r")
    profile, (X, _) = release.profile(), builders.data_of("imputer")
    assert profile.rows == len(X)
    for i, feature in enumerate(profile.features):
        assert sum(feature.counts) == len(X)
        assert feature.counts[MISSING] == np.isnan(X[:, i]).sum()
        assert feature.counts[OUTSIDE] == 0
    assert [output.name for output in profile.outputs] == ["label", "confidence"]


def test_the_profile_describes_the_rows_that_were_asked_for(tmp_path):
    X, _ = builders.data_of("voting")
    release = made("voting", tmp_path / "r", profile=X[:40])
    assert release.profile().rows == 40
    assert release.certificate().rows == len(X)


def test_the_profile_says_how_often_each_confidence_was_right_on_the_rows_that_were_held_out(
    tmp_path,
):
    X, _ = builders.data_of("voting")
    release = made("voting", tmp_path / "r", profile=X[:40])
    confidence = release.profile().outputs[1]
    assert sum(confidence.counts) == len(X)
    assert sum(confidence.correct) / len(X) == pytest.approx(release.manifest.metrics["score"])


def test_a_regressors_profile_has_its_values(tmp_path):
    profile = made("ridge", tmp_path / "r").profile()
    assert [output.name for output in profile.outputs] == ["value"]


def features(frame):
    return {f.name: f for f in reference_profile(rows_of(frame), {}, ()).features}


def test_bins_of_a_continuous_feature_have_equal_mass():
    values = np.random.default_rng(0).normal(size=32_000)
    (feature,) = features(pd.DataFrame({"a": values})).values()
    assert feature.edges is not None
    assert len(feature.edges) == BINS + 1
    inner = np.array(feature.counts[:MISSING])
    assert (np.abs(inner - 1_000) <= 2).all()


def test_a_constant_feature_has_one_edge_and_text_its_categories():
    frame = pd.DataFrame({"same": [2.5] * 4, "text": ["a", "b", "a", "ü"]})
    described = features(frame)
    assert (described["same"].edges, described["same"].counts) == ((2.5,), (4, 0, 0))
    assert (described["text"].categories, described["text"].counts) == (
        ("a", "b", "ü"),
        (2, 1, 1, 0, 0),
    )


X, Y = np.arange(6.0).reshape(3, 2), np.arange(3)
FRAME = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})
DIFFERENT = {
    "a value": ((X, Y), (X + 1, Y)),
    "a label": ((X, Y), (X, Y + 1)),
    "the order of rows": ((X, Y), (X[::-1], Y)),
    "the shape": ((X, Y), (X.reshape(2, 3), Y)),
    "the dtype": ((X, Y), (X.astype(np.float32), Y)),
    "no labels": ((X, Y), (X, None)),
    "a text": ((FRAME, None), (FRAME.assign(b=["x", "z"]), None)),
    "a column's name": ((FRAME, None), (FRAME.rename(columns={"a": "c"}), None)),
    "a late value of a long feed": (
        ([{"x": np.zeros(5_000)}], None),
        ([{"x": np.eye(1, 5_000, 2_500)[0]}], None),
    ),
}


@pytest.mark.parametrize("case", DIFFERENT)
def test_the_fingerprint_of_data_changes_with(case):
    one, other = DIFFERENT[case]
    assert fingerprint(*one) != fingerprint(*other)
    assert fingerprint(*one) == fingerprint(*one)


def test_the_fingerprint_does_not_depend_on_memory_layout():
    assert fingerprint(np.asfortranarray(X), Y) == fingerprint(X, Y)


def test_rows_are_counted_in_tables_feeds_and_lists():
    assert count_rows(FRAME) == 2
    assert count_rows({"x": np.zeros((7, 3))}) == 7
    assert count_rows([{"x": np.zeros((1, 3))}] * 4) == 4
