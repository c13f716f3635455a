"""Twelve realistic pipelines: each becomes a release that answers as the original does."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from converters import convert
from converters.certification.parity_gate import answers_of
from converters.estimators.fitted_estimator import inspect_estimator
from converters.samples.rows import rows_of
from edge_sdk import EdgeDevice
from edge_sdk.errors import InputError
from edge_sdk.update.probe import probe
from tests.converters.pipeline import pipelines
from tests.converters.pipeline.pipelines import MORE, PIPELINES

EVERY = [*PIPELINES, *MORE]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder, releases = tmp_path_factory.mktemp("pipelines"), {}

    def release(name):
        if name not in releases:
            X, y = pipelines.held(name)
            half = len(X) // 2
            out = folder / str(len(releases))
            releases[name] = convert(
                pipelines.fitted(name), X[:half], y[:half], name="m", out=out, variants=["float32"]
            )
        return releases[name]

    return release


def test_there_are_twelve():
    assert len(PIPELINES) == 12


@pytest.mark.parametrize("name", EVERY)
def test_rows_that_it_was_not_checked_on_are_answered_as_the_original_does(made, name):
    X, _ = pipelines.held(name)
    fresh = rows_of(X[len(X) // 2 :], inspect_estimator(pipelines.fitted(name)).names, apart=True)
    expected = inspect_estimator(pipelines.fitted(name)).answers(fresh)
    answers = answers_of(made(name), fresh)
    for output, truth in expected.items():
        if truth.dtype.kind == "f":
            scale = 1.0 if output == "probabilities" else truth.std()
            assert np.abs(answers[output] - truth).max() < 1e-4 * scale
        else:
            assert (answers[output].astype(str) == truth.astype(str)).all()
    assert probe(made(name)).golden_rows > 0


IN_FLOAT64 = (
    "forest, isotonic calibration",
    "voting of three",
    "stacking of two",
    "splines, bins and target means, log of the target",
)
"""What scales numbers before trees or bins: a rounding could cross a threshold."""


@pytest.mark.parametrize("name", EVERY)
def test_names_and_types_of_columns_are_those_of_the_dataframe(made, name):
    columns = {c.name: c.dtype for c in made(name).manifest.signature.columns}
    fractions = "float64" if name in IN_FLOAT64 else "float32"
    assert columns == {
        "age": fractions,
        "income": fractions,
        "visits": "int64",
        "city": "string",
        "plan": "string",
        "note": "string",
    }


@pytest.mark.parametrize("name", PIPELINES)
def test_a_dict_by_column_name_with_missing_values_is_answered(made, name):
    X, _ = pipelines.held(name)
    frame = X.tail(12)
    model = pipelines.fitted(name)
    expected = model.predict(frame)
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    with EdgeDevice.offline(made(name).folder) as device:
        for row, truth in zip(rows, expected, strict=True):
            p = device.predict(row)
            if p.label is None:
                assert p.value == pytest.approx(truth, rel=1e-3)
            else:
                assert p.label == truth


LINEAR = "imputed and encoded, linear"


def test_what_each_column_may_lack_is_learnt_from_the_original(made):
    columns = {c.name: c for c in made(LINEAR).manifest.signature.columns}
    assert made(LINEAR).manifest.training["missing"] == "allowed"
    assert columns["city"].lacking
    assert columns["city"].categories is None
    with EdgeDevice.offline(made(LINEAR).folder) as device:
        row = {"age": None, "income": 1.0, "visits": 3, "city": None, "plan": "new!", "note": ""}
        assert device.predict(row).label in ("stays", "leaves")


def test_a_category_that_the_original_refuses_is_refused_by_name_on_the_device(made):
    name = "columns by type, indicators, tuned threshold"
    columns = {c.name: c for c in made(name).manifest.signature.columns}
    assert columns["plan"].categories == ("basic", "plus", "pro")
    row = pipelines.people()[["age", "income", "visits", "city", "plan", "note"]].iloc[2].to_dict()
    with (
        EdgeDevice.offline(made(name).folder) as device,
        pytest.raises(InputError, match="feature 'plan': expected one of the 3 categories"),
    ):
        device.predict({**row, "plan": "gold"})


def test_the_profile_counts_missing_texts_as_missing(made):
    X, _ = pipelines.held(LINEAR)
    city = {f.name: f for f in made(LINEAR).profile().features}["city"]
    assert city.counts[-2] == X[: len(X) // 2]["city"].isna().sum()
    assert "nan" not in city.categories


def test_missing_text_of_pandas_own_kind_is_missing_too(made, tmp_path):
    X, y = pipelines.held(LINEAR)
    typed = X.astype({"city": "string"})
    assert any(value is pd.NA for value in typed["city"])
    release = convert(
        pipelines.fitted(LINEAR), typed[:150], y[:150], name="m", out=tmp_path / "r",
        variants=["float32"],
    )  # fmt: skip
    assert release.model_path.read_bytes() == made(LINEAR).model_path.read_bytes()
