"""Tables as people have them: categories, dates, columns that nobody reads; and boosters."""

from __future__ import annotations

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from converters import convert
from converters.errors import ConversionError
from edge_sdk import EdgeDevice

_random = np.random.default_rng(0)
ROWS = 300
CITY = _random.choice(["Bern", "Zürich", "Genève", "東京"], ROWS)
FRAME = pd.DataFrame(
    {
        "age": _random.normal(45, 15, ROWS).round(1),
        "city": pd.Categorical(CITY),
        "size": pd.Categorical(_random.choice([3, 5, 9], ROWS)),
    }
)
STAYS = ((FRAME["age"] > 45) ^ (CITY == "Bern")).astype(int).to_numpy()


def labels(release, frame):
    with EdgeDevice.offline(release.folder) as device:
        return np.asarray(device.predict_batch(frame).labels)


NATIVE = {
    "lightgbm": lambda: lightgbm.LGBMClassifier(n_estimators=20, min_child_samples=5, verbose=-1),
    "histogram": lambda: HistGradientBoostingClassifier(
        max_iter=20, min_samples_leaf=5, categorical_features="from_dtype"
    ),
}


@pytest.mark.parametrize("name", NATIVE)
def test_categories_of_a_dataframe_are_coded_in_the_graph(name, tmp_path):
    model = NATIVE[name]().fit(FRAME[:200], STAYS[:200])
    release = convert(model, FRAME[200:], STAYS[200:], name="m", out=tmp_path / "r")
    assert (labels(release, FRAME) == model.predict(FRAME)).all()
    columns = {c.name: c.dtype for c in release.manifest.signature.columns}
    assert columns["city"] == "string"


@pytest.mark.parametrize("name", NATIVE)
def test_an_unknown_category_goes_where_the_library_sends_it(name, tmp_path):
    model = NATIVE[name]().fit(FRAME[:200], STAYS[:200])
    release = convert(model, FRAME[200:], STAYS[200:], name="m", out=tmp_path / "r")
    strange = FRAME[200:].assign(city=pd.Categorical(["nowhere"] * 100))
    assert (labels(release, strange) == model.predict(strange)).all()


def dated():
    return FRAME.assign(
        day=pd.date_range("2024-01-01", periods=ROWS), note=[[i] for i in range(ROWS)]
    ).astype({"city": object})


def linear():
    parts = [("age", StandardScaler(), ["age"]), ("city", OneHotEncoder(), ["city"])]
    return make_pipeline(ColumnTransformer(parts), LogisticRegression())


def test_dates_and_lists_that_the_model_leaves_out_are_no_columns_of_the_release(tmp_path):
    model = linear().fit(dated(), STAYS)
    release = convert(model, dated(), STAYS, name="m", out=tmp_path / "r")
    names = [column.name for column in release.manifest.signature.columns]
    assert names == ["age", "city", "size"]
    assert (labels(release, dated()[names]) == model.predict(dated())).all()


def test_columns_that_the_model_left_out_may_lack_and_others_may_be_there(tmp_path):
    model = linear().fit(dated(), STAYS)
    rows = dated()[["city", "age"]].assign(target=STAYS)
    release = convert(model, rows, STAYS, name="m", out=tmp_path / "r")
    assert [column.name for column in release.manifest.signature.columns] == ["age", "city"]
    assert (labels(release, rows[["age", "city"]]) == model.predict(rows)).all()


def test_a_date_that_the_model_reads_is_refused_by_name(tmp_path):
    model = ColumnTransformer([("day", "passthrough", ["day"])]).fit(dated())
    with pytest.raises(ConversionError, match="column 'day': expected numbers or strings"):
        convert(model, dated(), name="m", out=tmp_path / "r")


X = FRAME[["age"]].to_numpy() + _random.normal(size=(ROWS, 3))
TARGETS = {
    "binary": (X[:, 0] > 45).astype(int),
    "multiclass": np.digitize(X[:, 0], [40, 50]),
    "regression": X[:, 0] / 7,
}


@pytest.mark.parametrize("objective", TARGETS)
def test_a_booster_of_lightgbm_is_a_model(objective, tmp_path):
    target = TARGETS[objective]
    more = {"num_class": 3} if objective == "multiclass" else {}
    booster = lightgbm.train(
        {"objective": objective, "verbose": -1, **more}, lightgbm.Dataset(X, target), 10
    )
    release = convert(booster, X, target, name="m", out=tmp_path / "r", variants=["float32"])
    assert_answers(release, booster.predict(X))


OBJECTIVES = {
    "binary": "binary:logistic",
    "multiclass": "multi:softprob",
    "regression": "reg:squarederror",
}


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_booster_of_xgboost_is_a_model(objective, tmp_path):
    target = TARGETS[objective]
    more = {"num_class": 3} if objective == "multiclass" else {}
    rows = xgboost.DMatrix(X, target)
    booster = xgboost.train({"objective": OBJECTIVES[objective], **more}, rows, 10)
    release = convert(booster, X, target, name="m", out=tmp_path / "r", variants=["float32"])
    assert_answers(release, booster.predict(rows))


def assert_answers(release, expected):
    with EdgeDevice.offline(release.folder) as device:
        p = device.predict_batch(X)
    found = p.values if p.probabilities is None else p.probabilities
    found = np.asarray(found)
    found = found[:, 1] if found.shape[1:] == (2,) else found
    np.testing.assert_allclose(found.reshape(expected.shape), expected, atol=1e-5)


def test_a_booster_that_ranks_is_refused(tmp_path):
    data = lightgbm.Dataset(X, TARGETS["binary"], group=[ROWS])
    booster = lightgbm.train({"objective": "lambdarank", "verbose": -1}, data, 3)
    with pytest.raises(ConversionError, match="ranks"):
        convert(booster, X, name="m", out=tmp_path / "r")
