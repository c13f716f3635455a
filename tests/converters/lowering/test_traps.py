"""Silent errors of exporters, each reproduced: repaired here, or refused."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from skl2onnx import to_onnx
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.neighbors import LocalOutlierFactor, NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, QuantileTransformer, StandardScaler
from sklearn.semi_supervised import LabelSpreading
from sklearn.svm import LinearSVC

from converters import convert
from converters.errors import UnsupportedModel
from converters.lowering.graph import DOUBLE, FLOAT, ML, Graph
from converters.lowering.transformers.text import LOCALE
from converters.trees import classic
from converters.trees.ensemble import Ensemble
from edge_sdk import EdgeDevice
from tests.converters import builders
from tests.waiting import PATIENCE

X, Y = builders.iris()
HOLED, _ = builders.holed_iris()


def labels_of(release, rows):
    with EdgeDevice.offline(release.folder) as device:
        return np.asarray(device.predict_batch(rows).labels).astype(str)


def test_an_imputers_indicator_columns_are_there(tmp_path):
    model = make_pipeline(SimpleImputer(add_indicator=True), LogisticRegression(max_iter=2_000))
    model.fit(HOLED, Y)
    plain = to_onnx(model[0], HOLED[:1].astype(np.float32)).SerializeToString()
    (columns,) = onnxruntime.InferenceSession(plain).run(None, {"X": HOLED.astype(np.float32)})
    assert columns.shape[1] == X.shape[1] < model[0].transform(HOLED).shape[1]
    release = convert(model, HOLED, Y, name="m", out=tmp_path / "r")
    assert release.manifest.training["missing"] == "allowed"
    expected = model.predict(HOLED.astype(np.float32)).astype(str)
    assert (labels_of(release, HOLED) == expected).all()


def test_a_threshold_of_ones_own_decides(tmp_path):
    y = (Y > 0).astype(int)
    model = FixedThresholdClassifier(LogisticRegression(), threshold=0.9).fit(X, y)
    release = convert(model, X, y, name="m", out=tmp_path / "r")
    assert (labels_of(release, X) == model.predict(X.astype(np.float32)).astype(str)).all()
    assert (labels_of(release, X) != model.estimator_.predict(X).astype(str)).any()
    assert "label" not in release.manifest.training  # it is not the largest probability's class


TEXTS = [
    "Grüße aus Zürich",
    "it's re-used, don't",
    "東京 タワー 42",
    "a b c",
    "",
    "x_1 ÄRGER ärger",
] * 20
TEXT_LABELS = np.arange(len(TEXTS)) % 3


@pytest.mark.parametrize(
    "pattern", [r"(?u)\b\w\w+\b", r"(?u)\b\w+\b", r"\w+", r"[a-z0-9]+", r"[a-z]{3,}", r"\S+"]
)
def test_words_are_cut_as_the_original_cuts_them(pattern, tmp_path):
    model = make_pipeline(TfidfVectorizer(token_pattern=pattern), LogisticRegression())
    model.fit(TEXTS, TEXT_LABELS)
    release = convert(model, TEXTS, TEXT_LABELS, name="m", out=tmp_path / "r")
    strange = ["ZÜRICH grüsse", "東京タワー", "re-used re used", "!!!", "42x 42", "É é e\u0301"]
    with EdgeDevice.offline(release.folder) as device:
        found = np.array([device.predict({"text": text}).probabilities for text in strange])
    assert np.abs(found - model.predict_proba(strange)).max() < 1e-5


TEXT_REFUSED = {
    "another pattern": ({"token_pattern": r"(\w)\w+"}, "token_pattern"),
    "letters": ({"analyzer": "char"}, "analyzer 'char'"),
    "a function of one's own": ({"tokenizer": str.split, "token_pattern": None}, "tokenizer"),
    "accents": ({"strip_accents": "unicode"}, "strip_accents"),
    "stop words within pairs": ({"stop_words": ["a"], "ngram_range": (1, 2)}, "stop_words"),
}


@pytest.mark.parametrize("case", TEXT_REFUSED)
def test_documents_are_refused_with(case, tmp_path):
    wish, reason = TEXT_REFUSED[case]
    model = make_pipeline(TfidfVectorizer(**wish), LogisticRegression()).fit(TEXTS, TEXT_LABELS)
    with pytest.raises(UnsupportedModel, match=reason):
        convert(model, TEXTS, TEXT_LABELS, name="m", out=tmp_path / "r")


def test_greek_is_refused_as_its_last_sigma_is_lowered_by_its_place(tmp_path):
    texts = ["ΟΔΟΣ πόλη", "οδος φως", "πόλη"] * 10
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, np.arange(30) % 3)
    with pytest.raises(UnsupportedModel, match="Greek"):
        convert(model, texts, name="m", out=tmp_path / "r")


def test_letters_are_lowered_in_a_locale_that_every_glibc_has(tmp_path):
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(TEXTS, TEXT_LABELS)
    release = convert(model, TEXTS, TEXT_LABELS, name="m", out=tmp_path / "r")
    nodes = onnx.load(release.model_path).graph.node
    locales = [a.s.decode() for node in nodes for a in node.attribute if a.name == "locale"]
    assert locales == [LOCALE]
    bare = {**os.environ, "LC_ALL": "C", "LANG": "C"}
    command = [sys.executable, "-m", "converters.cli.main", "verify", str(release.folder)]
    subprocess.run(command, cwd=Path(__file__).parents[3], env=bare, check=True, timeout=PATIENCE)


def test_no_operator_set_is_imported_twice(tmp_path):
    model = make_pipeline(TfidfVectorizer(), StandardScaler(with_mean=False), LogisticRegression())
    release = convert(model.fit(TEXTS, TEXT_LABELS), TEXTS, name="m", out=tmp_path / "r")
    domains = [entry.domain for entry in onnx.load(release.model_path).opset_import]
    assert domains == sorted(set(domains))


def test_protobuf_is_pinned_below_what_the_exporter_cannot_write():
    needs = importlib.metadata.requires("edge-deployment-sdk-converters")
    assert any(need.startswith("protobuf<7") for need in needs)


def test_isotonic_calibration_over_whole_forests_agrees(tmp_path):
    forest = RandomForestClassifier(20, random_state=0)
    model = CalibratedClassifierCV(forest, method="isotonic", cv=3).fit(X, Y)
    release = convert(model, X, Y, name="m", out=tmp_path / "r")
    with EdgeDevice.offline(release.folder) as device:
        found = device.predict_batch(X).probabilities
    assert np.abs(found - model.predict_proba(X.astype(np.float32))).max() < 1e-5


def test_isotonic_calibration_with_narrow_steps_is_right_on_the_rows_that_made_them(tmp_path):
    rows, values = builders.digits()
    forest = RandomForestClassifier(30, max_depth=3, random_state=0)
    model = CalibratedClassifierCV(forest, method="isotonic", cv=2).fit(rows, values % 2)
    steps = [np.diff(c.X_thresholds_) for f in model.calibrated_classifiers_ for c in f.calibrators]
    assert min(step.min() for step in steps) < 1e-5
    release = convert(model, rows, values % 2, name="m", out=tmp_path / "r")
    with EdgeDevice.offline(release.folder) as device:
        found = device.predict_batch(rows).probabilities
    assert np.abs(found - model.predict_proba(rows)).max() < 1e-5


def test_isotonic_steps_between_scores_that_are_one_in_float32_are_refused(tmp_path):
    rows, labels = X[Y != 2], Y[Y != 2]
    forest = RandomForestClassifier(5, max_depth=1, max_features=1, random_state=0)
    model = CalibratedClassifierCV(forest, method="isotonic", cv=2).fit(rows, labels)
    (curve,) = model.calibrated_classifiers_[0].calibrators
    curve.X_thresholds_ = 0.5 + np.array([0, 1e-12])
    curve.y_thresholds_ = np.array([0.2, 0.8])
    with pytest.raises(UnsupportedModel, match="method='sigmoid'"):
        convert(model, rows, labels, name="m", out=tmp_path / "r")


def test_values_scaled_in_float64_before_trees_fall_on_the_right_side(tmp_path):
    model = make_pipeline(StandardScaler(), HistGradientBoostingClassifier(max_iter=20))
    model.fit(X.round(1), Y)
    frame = builders.named_iris()[0].assign(count=np.arange(len(X)) % 7 + (1 << 25))
    mixed = make_pipeline(StandardScaler(), RandomForestClassifier(30, random_state=0))
    mixed.fit(frame, Y)
    for number, (fitted, rows) in enumerate([(model, X), (mixed, frame)]):
        release = convert(fitted, rows, Y, name="m", out=tmp_path / str(number))
        assert release.certificate().variants[0].max_difference < 1e-5


def test_quantiles_are_interpolated_in_float64(tmp_path):
    model = make_pipeline(QuantileTransformer(n_quantiles=20), LogisticRegression(max_iter=1_000))
    release = convert(model.fit(X, Y), X, Y, name="m", out=tmp_path / "r")
    assert release.certificate().variants[0].max_difference < 1e-5


NAMED = np.array(["äh", "b", "c"])[Y]
OTHERS = [
    LabelSpreading(),
    LinearSVC(random_state=0),
    NearestCentroid(),
    OneVsOneClassifier(LogisticRegression()),
    OneVsRestClassifier(RidgeClassifier()),
    OutputCodeClassifier(LogisticRegression(), random_state=0),
    CalibratedClassifierCV(LinearSVC(random_state=0), cv=2),
]


@pytest.mark.parametrize("model", OTHERS, ids=lambda model: type(model).__name__)
def test_labels_of_text_come_out_as_text(model, tmp_path):
    release = convert(model.fit(X, NAMED), X, NAMED, name="m", out=tmp_path / "r")
    assert (labels_of(release, X) == model.predict(X.astype(np.float32))).all()


ENCODERS = [
    OneHotEncoder(handle_unknown="ignore"),
    OneHotEncoder(drop="first", handle_unknown="ignore"),
    OneHotEncoder(min_frequency=30, handle_unknown="infrequent_if_exist"),
    OneHotEncoder(max_categories=3, handle_unknown="infrequent_if_exist"),
]


@pytest.mark.filterwarnings("ignore:Found unknown categories")
@pytest.mark.parametrize("encoder", ENCODERS, ids=repr)
def test_dropped_and_rare_categories_are_the_encoders_own(encoder, tmp_path):
    frame = builders.shop()[0][["city"]].copy()
    frame.loc[::7, "city"] = np.nan
    frame.loc[::11, "city"] = "Genève"
    labels = builders.shop()[1]
    model = make_pipeline(encoder, LogisticRegression()).fit(frame, labels)
    release = convert(model, frame, labels, name="m", out=tmp_path / "r")
    assert release.manifest.signature.columns[0].lacking
    with EdgeDevice.offline(release.folder) as device:
        found = [device.predict({"city": city}).label for city in ("Genève", "nowhere", None)]
    rows = frame.iloc[:3].assign(city=["Genève", "nowhere", np.nan])
    assert found == list(model.predict(rows))


def test_an_outlier_detector_gives_a_label_and_its_value(tmp_path):
    rows = np.random.default_rng(0).normal(size=(300, 4))  # no two are equally far from a third
    model = LocalOutlierFactor(novelty=True).fit(rows)
    release = convert(model, rows, name="m", out=tmp_path / "r")
    far = np.array([50.0, 0.0, 0.0, 9.0], np.float32)
    with EdgeDevice.offline(release.folder) as device:
        usual, strange = device.predict(rows[0]), device.predict(far)
    assert (usual.label, strange.label) == (1, -1)
    assert strange.value == pytest.approx(model.decision_function([far])[0], rel=1e-3)
    assert "value" in {output.name for output in release.profile().outputs}


numbers = arrays.arrays(np.float64, 20, elements=st.floats(-1e30, 1e30, allow_subnormal=False))


@given(numbers)
def test_trees_over_float64_rows_split_where_float64_does(values):
    """Each threshold is a row, with the float64 numbers next to it as other rows."""
    ensemble = Ensemble(
        np.zeros(20, np.int64), values, np.zeros(20, bool), -np.arange(1, 40, 2),
        -np.arange(2, 41, 2), np.arange(40.0)[:, None], np.arange(20), 1,
    )  # fmt: skip
    graph = Graph()
    made = graph.op(classic.NAME, "x", domain=ML, **classic.attributes(ensemble))
    proto = graph.model([("x", DOUBLE, 1)], {"y": (made, FLOAT, [1])})
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    rows = np.concatenate([np.nextafter(values, -np.inf), values, np.nextafter(values, np.inf)])
    (found,) = session.run(None, {"x": rows[:, None]})
    np.testing.assert_array_equal(found, ensemble.sums(rows[:, None]))


def test_a_kernel_over_documents_has_sparse_training_rows(tmp_path):
    notes = ["red cat", "blue cat", "red dog", "blue dog", "red red hat", "hat"]
    y = np.arange(6.0)
    model = make_pipeline(CountVectorizer(), KernelRidge(kernel="rbf", gamma=0.1)).fit(notes, y)
    release = convert(model, notes, y, name="m", out=tmp_path / "r", variants=["float32"])
    with EdgeDevice.offline(release.folder) as device:
        values = [device.predict([note]).value for note in notes]
    np.testing.assert_allclose(values, model.predict(notes), atol=1e-4)
