"""What cannot be converted, or would be silently wrong, is refused with its reason."""

from __future__ import annotations

import pickle
import re

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.cluster import DBSCAN
from sklearn.decomposition import NMF
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from converters import ConversionError, convert
from converters.errors import ParityError, UnsupportedModel
from edge_sdk import EdgeDevice
from tests.converters import builders

X, Y = builders.iris()
NAMED, SHOP = builders.measurements(), builders.shop()[0]


class Homemade(ClassifierMixin, BaseEstimator):
    """A classifier that no exporter has heard of."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


def logistic():
    return builders.model("voting")


BAD_INPUT = {
    "no rows": (lambda: (logistic(), X[:0], Y[:0]), "2-D array"),
    "no data": (lambda: (logistic(), None, None), "2-D array"),
    "one row that is not in a table": (lambda: (logistic(), X[0], Y[:1]), "2-D array"),
    "rows of different lengths": (lambda: (logistic(), [[1.0], [1.0, 2.0]], None), "equal length"),
    "too many features": (lambda: (logistic(), np.hstack([X, X]), Y), "takes 4 features, got 8"),
    "text in an array": (lambda: (logistic(), X.astype(str), Y), "expected numbers"),
    "a number beyond float32": (lambda: (logistic(), X * 1e300, Y), "float32 holds"),
    "fewer labels than rows": (lambda: (logistic(), X, Y[:-1]), "expected 150 values"),
    "one label": (lambda: (logistic(), X, 1), "one value"),
    "an estimator that was not fitted": (lambda: (LogisticRegression(), X, Y), "not fitted"),
    "a class": (lambda: (LogisticRegression, X, Y), "the class LogisticRegression"),
    "no estimator": (lambda: (object(), X, Y), "fitted scikit-learn estimator"),
    "an estimator that says nothing of new rows": (
        lambda: (DBSCAN().fit(X), X, Y),
        "neither predict nor transform",
    ),
    "other columns than it was fitted with": (
        lambda: (builders.model("names"), NAMED.rename(columns={"width": "w"}), Y),
        r"missing \['width'\], not known to the model \['w'\]",
    ),
    "an empty table": (
        lambda: (builders.model("names"), NAMED.head(0), None),
        "at least one row",
    ),
    "missing text": (
        lambda: (builders.model("text column"), SHOP.assign(city=[None] * len(SHOP)), None),
        "column 'city'",
    ),
    "rows that the model itself refuses": (
        lambda: (logistic(), builders.holed_iris()[0], Y),
        "model itself refuses",
    ),
    "columns of one name": (
        lambda: (logistic(), pd.DataFrame(X, columns=list("aabc")), Y),
        "different names",
    ),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_one_clear_refusal_that_leaves_nothing(case, tmp_path):
    make, reason = BAD_INPUT[case]
    model, rows, labels = make()
    with pytest.raises(ConversionError, match=reason):
        convert(model, rows, labels, name="m", out=tmp_path / "r")
    assert list(tmp_path.iterdir()) == []


BAD_OPTION = {
    "a name with a slash": ({"name": "a/b"}, "name"),
    "a version of three": ({"version": "1.0.0"}, "1.0.0"),
    "an unknown mode": ({"mode": "sometimes"}, "stateless or stateful"),
    "a stateful version without a parent": ({"mode": "stateful"}, "parent"),
    "an unknown variant": ({"variants": ["int3"]}, "int3"),
}


@pytest.mark.parametrize("case", BAD_OPTION)
def test_an_option_that_makes_no_sense_is_refused(case, tmp_path):
    option, reason = BAD_OPTION[case]
    with pytest.raises(ConversionError, match=reason):
        convert(logistic(), X, Y, **{"name": "m", "out": tmp_path / "r"} | option)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_never_overwritten(tmp_path):
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "mine").write_text("keep")
    with pytest.raises(ConversionError, match="exists already"):
        convert(logistic(), X, Y, name="m", out=tmp_path / "r")
    assert (tmp_path / "r" / "mine").read_text() == "keep"


UNSUPPORTED = {
    "an estimator without a form": (lambda: Homemade().fit(X, Y), "Homemade"),
    "a step without a form, by name": (
        lambda: make_pipeline(LogOnePlus(), GaussianNB()).fit(X, Y),
        "LogOnePlus",
    ),
    "a function": (
        lambda: make_pipeline(FunctionTransformer(lambda x: x + 1), GaussianNB()).fit(X, Y),
        "step 'functiontransformer': FunctionTransformer: the function '<lambda>' cannot be conv",
    ),
}


def test_all_steps_that_cannot_be_converted_are_listed_with_what_to_do(tmp_path):
    steps = [
        LogOnePlus(),
        NMF(2, max_iter=500, random_state=0),
        FunctionTransformer(lambda x: x),
        GaussianNB(),
    ]
    with pytest.raises(UnsupportedModel) as refusal:
        convert(make_pipeline(*steps).fit(X, Y), X, Y, name="m", out=tmp_path / "r")
    for name in ("LogOnePlus", "NMF solves", "FunctionTransformer", "What to do"):
        assert name in str(refusal.value)


class LogOnePlus(FunctionTransformer):
    """A step of somebody's own."""

    def __init__(self):
        super().__init__(np.log1p)


@pytest.mark.parametrize("case", UNSUPPORTED)
def test_an_unsupported_step_is_named(case, tmp_path):
    make, name = UNSUPPORTED[case]
    with pytest.raises(UnsupportedModel, match=name):
        convert(make(), X, Y, name="m", out=tmp_path / "r")
    assert list(tmp_path.iterdir()) == []


def test_an_export_that_answers_differently_is_refused_with_its_worst_rows(tmp_path):
    grid = np.random.default_rng(0).integers(0, 3, (200, 4))
    model = KNeighborsRegressor(3).fit(grid, np.arange(200.0))  # which of equals is up to a heap
    with pytest.raises(ParityError, match=r"(?s)worst rows:.*row \d+: value: original") as refusal:
        convert(model, grid, name="m", out=tmp_path / "r")
    assert len(str(refusal.value).splitlines()) <= 6
    assert list(tmp_path.iterdir()) == []


def test_sums_that_float32_cannot_hold_are_computed_in_float64(tmp_path):
    model = LogisticRegression(max_iter=5_000).fit(X + 1e6, Y)
    release = convert(model, X + 1e6, Y, name="m", out=tmp_path / "r")
    assert {c.dtype for c in release.manifest.signature.columns} == {"float64"}
    with EdgeDevice.offline(release.folder) as device:
        answers = device.predict_batch(X + 1e6)
    np.testing.assert_allclose(answers.probabilities, model.predict_proba(X + 1e6), atol=1e-5)


@pytest.mark.parametrize("name", ["imputer", "boosting with missing values"])
def test_missing_values_are_allowed_where_the_export_agrees(name, tmp_path):
    rows, labels = builders.data_of(name)
    release = convert(builders.model(name), rows, labels, name="m", out=tmp_path / "r")
    assert release.manifest.training["missing"] == "allowed"
    with EdgeDevice.offline(tmp_path / "r") as device:
        label = device.predict([None, *rows[0, 1:]]).label
    expected = builders.model(name).predict([[np.nan, *rows[0, 1:].astype(np.float32)]])
    assert label == expected[0]


def test_a_model_that_refuses_missing_values_says_nothing_of_them(tmp_path):
    release = convert(logistic(), X, Y, name="m", out=tmp_path / "r")
    assert "missing" not in release.manifest.training


def test_thresholds_of_boosting_between_two_float32_values_split_as_the_original_does(tmp_path):
    low = np.float32(0.1)
    high = np.nextafter(low, np.float32(1))
    rows = np.repeat([[low], [high]], 100, axis=0).astype(np.float32)
    labels = np.repeat([0, 1], 100)
    model = HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=1).fit(rows, labels)
    convert(model, rows, labels, name="m", out=tmp_path / "r")
    with EdgeDevice.offline(tmp_path / "r") as device:
        assert list(device.predict_batch(rows).labels) == list(model.predict(rows))


def test_converting_leaves_the_callers_model_as_it_was(tmp_path):
    model = HistGradientBoostingClassifier(max_iter=3).fit(X, Y)
    before = pickle.dumps(model)
    convert(model, X, Y, name="m", out=tmp_path / "r")
    assert pickle.dumps(model) == before


def test_a_pickle_is_loaded_only_if_it_is_trusted(tmp_path):
    path = tmp_path / "model.joblib"
    joblib.dump(logistic(), path)
    with pytest.raises(ConversionError, match="runs code"):
        convert(path, X, Y, name="m", out=tmp_path / "r")
    assert convert(path, X, Y, name="m", out=tmp_path / "r", trust=True).manifest.model == "m"


BAD_FILES = {
    "of no known kind": ("model.joblib2", b"x", "expected .onnx"),
    "of weights alone": ("model.h5", b"x", "not the network that they belong to"),
    "that is no pickle": ("model.pkl", b"not a pickle", "cannot be loaded"),
    "that is no ONNX": ("model.onnx", b"\x08\xff nonsense", "valid ONNX"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_file_is_refused(case, tmp_path):
    name, content, reason = BAD_FILES[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConversionError, match=reason):
        convert(tmp_path / name, X, Y, name="m", out=tmp_path / "r", trust=True)
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("name", ["absent.onnx", "absent.pkl"])
def test_a_file_that_is_not_there_is_refused_by_name(name, tmp_path):
    with pytest.raises(ConversionError, match=re.escape(name)):
        convert(tmp_path / name, X, Y, name="m", out=tmp_path / "r")
