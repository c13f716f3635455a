"""Which models rank, how, and what they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from converters import convert
from edge_sdk import EdgeDevice
from edge_sdk.errors import InputError
from edge_sdk.serving.ranking import SHOWN, Shown, ShownRankings
from tests.edge.builders import make_release, rows, softmax

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(300, 4)).astype(np.float32)


def released(model: Any, y: Any, folder: Path) -> Path:
    model.fit(X, y)
    convert(model, X, y, name="rank", out=folder / "release", variants=("float32",))
    return folder / "release"


def test_the_classes_of_a_classifier_are_its_items(tmp_path: Path) -> None:
    with EdgeDevice.offline(make_release(tmp_path).folder) as device:
        for row in rows(20):
            expected = np.argsort(-softmax(row[None], 0)[0]).tolist()
            ranking = device.predict_ranking(row)
            assert list(ranking.items) == expected
            assert device.predict_ranking(row, length=2).items == ranking.items[:2]
            assert ranking.version == "1.0"


def test_a_regressor_scores_one_candidate_at_a_time(tmp_path: Path) -> None:
    folder = released(LinearRegression(), X @ [1, -2, 3, 0], tmp_path)
    with EdgeDevice.offline(folder) as device:
        found = device.predict_ranking(X[:5], candidates=list("abcde"))
        order = np.argsort(-(X[:5] @ [1, -2, 3, 0]))
        assert list(found.items) == ["abcde"[i] for i in order]


def test_of_two_classes_the_second_is_the_score(tmp_path: Path) -> None:
    folder = released(LogisticRegression(), (X[:, 0] > 0).astype(int), tmp_path)
    with EdgeDevice.offline(folder) as device:
        found = device.predict_ranking(X[:6], candidates=range(6))
        assert list(found.items) == np.argsort(-X[:6, 0], kind="stable").tolist()
        p = device.predict_batch(X[:6]).probabilities
        assert p is not None
        assert list(found.items) == np.argsort(-p[:, 1], kind="stable").tolist()


def test_a_vector_of_numbers_ranks_its_positions(tmp_path: Path) -> None:
    targets = X @ RANDOM.normal(size=(4, 6))
    folder = released(LinearRegression(), targets, tmp_path)
    with EdgeDevice.offline(folder) as device:
        values = device.predict(X[0]).value
        assert isinstance(values, np.ndarray)
        assert list(device.predict_ranking(X[0]).items) == np.argsort(-values).tolist()


def test_equal_scores_keep_the_order_of_the_candidates(tmp_path: Path) -> None:
    folder = released(LinearRegression(), X[:, 0], tmp_path)
    with EdgeDevice.offline(folder) as device:
        found = device.predict_ranking(np.repeat(X[:1], 4, axis=0), candidates=list("dcba"))
        assert list(found.items) == list("dcba")


# sentence: (input, candidates, what the error says)
REFUSED: dict[str, tuple[Any, Any, str]] = {
    "a candidate twice": (X[:2], ["a", "a"], "expected each once"),
    "a row too few": (X[:2], ["a", "b", "c"], "a row for each of 3 candidates, got 2"),
    "three classes for one candidate each": (X[:2], ["a", "b"], "two classes, to score candidates"),
    "an input that does not fit": ([1.0], None, "expected 4"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_ranked_is_refused(tmp_path: Path, case: str) -> None:
    x, candidates, message = REFUSED[case]
    with (
        EdgeDevice.offline(make_release(tmp_path).folder) as device,
        pytest.raises(InputError, match=message),
    ):
        device.predict_ranking(x, candidates=candidates)


def test_a_model_of_one_number_cannot_score_all_items_at_once(tmp_path: Path) -> None:
    folder = released(LinearRegression(), X[:, 0], tmp_path)
    with (
        EdgeDevice.offline(folder) as device,
        pytest.raises(InputError, match="pass candidates and a row for each"),
    ):
        device.predict_ranking(X[0])


def test_only_the_newest_rankings_take_clicks() -> None:
    shown = ShownRankings()
    for i in range(SHOWN + 1):
        shown.put(f"t-{i}", Shown((1, 2)))
    assert shown.click("t-1", [2]).items == (1, 2)
    with pytest.raises(InputError, match="expected the id of a recent ranking"):
        shown.click("t-0", [])
