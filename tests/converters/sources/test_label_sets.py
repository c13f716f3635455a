"""Estimators that give several labels a row: a device gives exactly the labels that they give."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from converters import ConversionError, convert
from edge_sdk import EdgeDevice
from edge_sdk.contract.manifest import CARD

rng = np.random.default_rng(0)
X = rng.normal(size=(400, 5))
NOISE = 0.3 * rng.normal(size=(400, 3))
Y = (X[:, :3] + X[:, 1:4] + NOISE > 0).astype(int)
FITTED, HELD = slice(200), slice(200, None)

MODELS = {
    "one model a label": MultiOutputClassifier(LogisticRegression()),
    "one against the rest": OneVsRestClassifier(LogisticRegression()),
    "one forest against the rest": OneVsRestClassifier(RandomForestClassifier(4, max_depth=3)),
    "a network": make_pipeline(StandardScaler(), MLPClassifier((8,), max_iter=200, tol=1.0)),
    # Four trees: many scores are exactly one half, which scikit-learn does not give.
    "a forest of four": RandomForestClassifier(4, max_depth=3, random_state=0),
    "a tree": DecisionTreeClassifier(max_depth=4, random_state=0),
    "a chain": ClassifierChain(LogisticRegression()),
}


def made(model, tmp_path, **options):
    model.fit(X[FITTED], Y[FITTED])
    return convert(
        model, X[HELD], options.pop("y", Y[HELD]), name="m", out=tmp_path / "r",
        variants=["float32"], **options,
    )  # fmt: skip


@pytest.mark.parametrize("case", MODELS)
def test_a_device_gives_the_labels_of_the_estimator_and_the_score_is_its_own(case, tmp_path):
    model = MODELS[case]
    release = made(model, tmp_path)
    assert release.manifest.task == "multilabel"
    assert release.manifest.signature.classes == (0, 1, 2)
    assert release.manifest.metrics["score"] == pytest.approx(model.score(X[HELD], Y[HELD]))
    labels = model.predict(X[HELD])
    wanted = [tuple(np.flatnonzero(row).tolist()) for row in labels]
    with EdgeDevice.offline(release.folder) as device:
        assert [tuple(given) for given in device.predict_batch(X[HELD]).labels] == wanted
        one = device.predict(X[200])
    assert (one.labels, one.label) == (wanted[0], None)
    assert one.probabilities.shape == (3,)


def test_a_score_of_one_half_is_not_given(tmp_path):
    model = MODELS["a forest of four"].fit(X[FITTED], Y[FITTED])
    halves = np.column_stack([pair[:, 1] for pair in model.predict_proba(X[HELD])]) == 0.5
    release = made(model, tmp_path)
    threshold = np.float32(release.manifest.signature.threshold)
    assert halves.any() or threshold > 0.5
    assert threshold == np.nextafter(np.float32(0.5), np.float32(1))


def test_classes_name_the_labels_and_y_may_be_sets(tmp_path):
    names = np.array(["sun", "rain", "wind"])
    sets = [names[row.astype(bool)].tolist() for row in Y[HELD]]
    release = made(MODELS["a chain"], tmp_path, classes=names, y=sets)
    assert release.manifest.signature.classes == tuple(names)
    assert release.manifest.metrics["score"] > 0.5
    with EdgeDevice.offline(release.folder) as device:
        assert set(device.predict(X[200]).labels) <= set(names)
    card = (release.folder / CARD).read_text(encoding="utf-8")
    assert "share of rows whose labels are all right" in card


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_labels_by_a_rule_of_their_own_stay_outputs_by_name(tmp_path):
    release = made(OneVsRestClassifier(SVC(probability=True)), tmp_path, y=None)
    assert release.manifest.task == "generic"
    assert {spec.name for spec in release.manifest.signature.outputs} == {
        "labels", "probabilities",
    }  # fmt: skip


BAD = {
    "one label a row": ({"y": Y[HELD][:, 0]}, "list of labels for each row"),
    "another number of labels": ({"y": Y[HELD][:, :2]}, "zeros and ones in 3 columns"),
    "another number of names": ({"classes": ["a", "b"]}, "expected 3 labels"),
}


@pytest.mark.parametrize("case", BAD)
def test_is_refused(case, tmp_path):
    options, reason = BAD[case]
    with pytest.raises(ConversionError, match=reason):
        made(MODELS["a chain"], tmp_path, **options)
    assert list(tmp_path.iterdir()) == []


def test_classes_of_an_estimator_that_knows_its_own_are_refused(tmp_path):
    model = LogisticRegression().fit(X[FITTED], Y[FITTED][:, 0])
    with pytest.raises(ConversionError, match="classes: this estimator knows its own"):
        convert(model, X[HELD], Y[HELD][:, 0], name="m", out=tmp_path / "r", classes=["a", "b"])


def test_the_manifest_says_the_threshold_to_the_last_digit(tmp_path):
    release = made(MODELS["a tree"], tmp_path)
    signature = json.loads((release.folder / "manifest.json").read_bytes())["signature"]
    assert signature["threshold"] == 0.5000000596046448
