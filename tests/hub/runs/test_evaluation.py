"""The gate's worker: the same answers as in the hub's process, and nothing of what it lies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cloud_hub.data.dataset import Dataset
from cloud_hub.errors import HubFault, Invalid
from cloud_hub.hub import Hub
from cloud_hub.runs import evaluation
from cloud_hub.runs.evaluation import evaluate, evaluate_apart
from edge_sdk.model.release import Release, save_arrays
from tests.edge.builders import make_release
from tests.hub.runs.retraining import data


@pytest.fixture
def releases(tmp_path: Path) -> tuple[Release, Release]:
    return make_release(tmp_path / "a"), make_release(tmp_path / "b", version="2.0", seed=1)


def test_a_worker_answers_as_the_hub_itself_would(
    inner: Hub, releases: tuple[Release, Release]
) -> None:
    rows = {"fresh": data(60, 1), "history": data(40, 2)}
    here = evaluate(*releases, rows, None)
    apart = evaluate_apart(inner.workers, *releases, rows, rows["fresh"])
    for name, pair in here.answers.items():
        for mine, theirs in zip(pair, apart.answers[name], strict=True):
            for part in evaluation.PARTS:
                np.testing.assert_array_equal(getattr(mine, part), getattr(theirs, part))
    assert apart.seconds is not None
    assert min(apart.seconds) > 0


def test_a_candidate_that_breaks_its_worker_breaks_nothing_else(
    inner: Hub, releases: tuple[Release, Release]
) -> None:
    candidate, incumbent = releases
    (candidate.folder / "golden.npz").write_bytes(b"a terabyte, packed")
    with pytest.raises(Invalid, match="gate: the candidate cannot be run; its process ended with"):
        evaluate_apart(inner.workers, candidate, incumbent, {"fresh": data(60, 1)}, None)


ROWS = {"fresh": Dataset.of(np.zeros((3, 2), np.float32), np.zeros(3, np.int64))}
HONEST: dict[str, Any] = {
    "fresh.0.loss": np.zeros(3), "fresh.1.loss": np.ones(3),
    "fresh.0.probabilities": np.full((3, 2), 0.5), "fresh.0.truth": np.array([0, 1, -1]),
}  # fmt: skip
LIES: dict[str, Callable[[], bytes]] = {
    "fewer rows": lambda: save_arrays(HONEST | {"fresh.0.loss": np.zeros(2)}),
    "numbers of another type": lambda: save_arrays(HONEST | {"fresh.0.loss": np.array(["0"] * 3)}),
    "a class that there is not": lambda: save_arrays(
        HONEST | {"fresh.0.truth": np.array([0, 9, 1])}
    ),
    "probabilities without classes": lambda: save_arrays(
        HONEST | {"fresh.0.probabilities": np.zeros(3)}
    ),
    "nothing of one release": lambda: save_arrays({"fresh.0.loss": np.zeros(3)}),
    "no archive": lambda: b"PK and noise",
    "more than any answers are": lambda: save_arrays(HONEST | {"more": np.zeros(1 << 18)}),
}  # fmt: skip


def test_honest_answers_are_read() -> None:
    (pair,) = evaluation._parsed(save_arrays(HONEST), ROWS).answers.values()
    assert pair[0].truth is not None
    assert pair[1].probabilities is None


@pytest.mark.parametrize("case", LIES)
def test_answers_that_do_not_fit_the_rows_are_refused(case: str) -> None:
    with pytest.raises(HubFault, match="gate: the candidate's answers cannot be read"):
        evaluation._parsed(LIES[case](), ROWS)
