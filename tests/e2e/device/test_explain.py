"""Explanations: exact for what adds up, honest about what does not, and counted nowhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeRegressor

from converters import convert
from edge_sdk import EdgeDevice
from edge_sdk.errors import InputError
from edge_sdk.model.explain import VALUES, representatives
from tests.edge.builders import make_release

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((600, 4))


def device_of(folder: Path, model: Any, rows: Any, y: Any, name: str = "m") -> EdgeDevice:
    fitted = model.fit(rows, y)
    convert(fitted, rows, y, name=name, out=folder / name, variants=("float32",))
    return EdgeDevice.offline(folder / name)


def test_parts_of_a_linear_model_are_its_terms_and_add_up(tmp_path: Path) -> None:
    weights = np.array([3.0, -1.0, 0.5, 0.0])
    with device_of(tmp_path, Ridge(1e-9), X, X @ weights + 2) as device:
        x = np.array([1.0, 2.0, -1.0, 5.0])
        found = device.explain(x)
    assert (found.scale, found.label) == ("value", None)
    assert found.output == pytest.approx(2.5, abs=0.02)
    expected = np.sort(weights * (x - X.mean(axis=0)))
    assert np.sort(list(found.parts.values())) == pytest.approx(expected, abs=0.15)
    assert found.additive
    assert abs(found.residual) < 0.01 * abs(found.output - found.usual)
    assert found.top(2) == list(found.parts.items())[:2]


def test_a_logistic_model_adds_up_in_log_odds_and_not_in_probability(tmp_path: Path) -> None:
    y = (X @ [4.0, 3.0, 0.0, 0.0] > 0).astype(int)
    with device_of(tmp_path, LogisticRegression(), X, y) as device:
        x = np.array([1.5, 1.5, 0.0, 0.0])
        odds, chance = device.explain(x, scale="log-odds"), device.explain(x)
        assert device.reports() == []
    assert odds.additive
    assert not chance.additive
    assert chance.label == 1
    assert chance.output == pytest.approx(1 / (1 + np.exp(-odds.output)), abs=1e-6)
    assert odds.top(1)[0][0] == chance.top(1)[0][0]
    assert sum(odds.parts.values()) + odds.residual == pytest.approx(odds.output - odds.usual)


def test_features_that_act_only_together_are_said_to(tmp_path: Path) -> None:
    y = ((X[:, 0] > 0) ^ (X[:, 1] > 0)).astype(float)
    with device_of(tmp_path, DecisionTreeRegressor(random_state=0), X, y) as device:
        found = device.explain(np.array([2.0, 2.0, 0.0, 0.0]))
    assert not found.additive


def test_text_whole_numbers_and_truth_values_are_replaced_by_their_own_kind(
    tmp_path: Path,
) -> None:
    frame = pd.DataFrame(
        {
            "town": RANDOM.choice(["Oslo", "Bern", "Rome"], 600),
            "rooms": RANDOM.integers(1, 9, 600),
            "size": RANDOM.normal(80, 20, 600),
        }
    )
    y = frame["size"] + 50 * (frame["town"] == "Rome") + 10 * frame["rooms"]
    encode = ColumnTransformer(
        [("town", OneHotEncoder(), ["town"]), ("rest", StandardScaler(), ["rooms", "size"])]
    )
    with device_of(tmp_path, make_pipeline(encode, Ridge(1e-6)), frame, y) as device:
        found = device.explain({"town": "Rome", "rooms": 2, "size": 80.0})
    assert found.top(1)[0][0] == "town"
    assert found.parts["town"] == pytest.approx(50 * 2 / 3, rel=0.15)
    assert found.parts["rooms"] == pytest.approx(10 * (2 - frame["rooms"].mean()), abs=4)
    assert found.additive


def test_reference_values_have_equal_mass(tmp_path: Path) -> None:
    release = make_release(tmp_path)
    feature = release.profile().features[0]
    values = representatives(feature, release.manifest.signature.columns[0], 0.0)
    assert len(values) == VALUES
    assert values == sorted(values)
    assert np.mean(values) == pytest.approx(0, abs=0.1)


def test_many_features_go_through_in_several_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    y = X @ [3.0, -1.0, 0.5, 0.0]
    with device_of(tmp_path, Ridge(1e-9), X, y) as device:
        whole = device.explain(X[0])
        monkeypatch.setattr("edge_sdk.model.explain.CELLS", 2 * 4 * VALUES)
        assert device.explain(X[0]).parts == pytest.approx(whole.parts)


REFUSED: dict[str, tuple[Any, Any, str]] = {
    "a row that does not fit": ([1.0], "probability", "expected 4 features"),
    "an unknown scale": ([0.0] * 4, "luck", "expected probability or log-odds"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_explained_is_refused(tmp_path: Path, case: str) -> None:
    x, scale, said = REFUSED[case]
    release = make_release(tmp_path)
    with EdgeDevice.offline(release.folder) as device, pytest.raises(InputError, match=said):
        device.explain(x, scale=scale)


def test_features_are_explained_by_occlusion_only(tmp_path: Path) -> None:
    release = make_release(tmp_path)
    with EdgeDevice.offline(release.folder) as device:
        with pytest.raises(InputError, match="a table is explained by occlusion"):
            device.explain([0.0] * 4, method="shapley")
        with pytest.raises(InputError, match="heatmap: expected a picture"):
            device.explain([0.0] * 4).heatmap()
