"""Freshness: whether retraining more often pays, and no claim beyond the intervals."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier

from cloud_hub.cli.main import main
from cloud_hub.errors import HubFault, Invalid
from cloud_hub.freshness.analysis import Freshness, FreshnessQuestion, LabelledHistory, freshness
from cloud_hub.freshness.plan import NEVER, plan
from cloud_hub.freshness.report import page, write_report
from cloud_hub.freshness.verdict import Gain, conclude
from cloud_hub.runs import TrainingContext
from cloud_hub.statistics.detectors.blocks import Estimate, block_mean
from tests.waiting import PATIENCE

DAY = 86_400.0
EVERY = (30 * DAY, 7 * DAY, 2 * DAY)


def drifting(turns: float, days: int = 120, a_day: int = 60, seed: int = 0) -> LabelledHistory:
    """Two classes whose border turns by ``turns`` of a circle over all days."""
    random = np.random.default_rng(seed)
    times = np.sort(random.uniform(0, days * DAY, days * a_day))
    angle = 2 * np.pi * turns * times / (days * DAY)
    X = random.normal(size=(len(times), 2)).astype(np.float32)
    y = (X[:, 0] * np.cos(angle) + X[:, 1] * np.sin(angle) > 0).astype(np.int64)
    flipped = random.random(len(y)) < 0.05
    return LabelledHistory(X, np.where(flipped, 1 - y, y), times)


def train(context: TrainingContext) -> Any:
    return LogisticRegression().fit(context.fresh.X, context.fresh.y)


def tree(context: TrainingContext) -> Any:
    return DecisionTreeClassifier(max_depth=8, random_state=0).fit(context.fresh.X, context.fresh.y)


def texts(context: TrainingContext) -> Any:
    columns = ColumnTransformer(
        [("n", SimpleImputer(), ["x0", "x1"]), ("t", OneHotEncoder(), ["city", "member"])]
    )
    return make_pipeline(columns, LogisticRegression()).fit(context.fresh.X, context.fresh.y)


def analyse(history: LabelledHistory, **more: Any) -> Freshness:
    return freshness(train, history, FreshnessQuestion(EVERY, worthwhile=0.01), **more)


def test_a_world_that_turns_pays_for_retraining() -> None:
    result = analyse(drifting(0.5))
    assert result.verdict.answer == "pays"
    assert result.verdict.schedule != "never"
    never, often = result.schedules["never"], result.schedules["every 2d"]
    assert never.mean > often.mean + 0.02
    ages = [estimate.mean for _, estimate in result.ages]
    assert ages[0] < ages[-1]
    assert result.trainings >= 30 + 8


def test_a_world_that_stands_still_does_not_and_the_verdict_says_so() -> None:
    result = analyse(drifting(0.0, a_day=150))
    assert (result.verdict.answer, result.verdict.schedule) == ("does not pay", "never")
    assert "do not retrain more often than never" in result.verdict.text


def test_few_rows_are_not_taken_for_an_answer() -> None:
    result = analyse(drifting(0.0, a_day=4))
    assert result.verdict.answer == "undecided"
    assert "the rows do not show" in result.verdict.text
    assert "times as many days would tell" in result.verdict.text


def test_no_schedule_sees_a_row_before_it_answers_it() -> None:
    history = drifting(0.1)
    planned = plan(history.times, EVERY, delay=2 * DAY)
    for trainings in planned.schedules.values():
        for training in trainings:
            assert training.on.end == training.judged.begin - 2 * DAY
        assert trainings[0].judged.begin == planned.stretch.begin
        assert trainings[-1].judged.end == planned.stretch.end
        sizes = {round(t.on.end - t.on.begin, 3) for t in trainings}
        assert sizes == {round(planned.schedules[NEVER][0].on.end
                               - planned.schedules[NEVER][0].on.begin, 3)}  # fmt: skip
    assert len(planned.schedules[2 * DAY]) == 30


@given(st.floats(10, 400), st.lists(st.floats(0.5, 100), min_size=1, max_size=4), st.floats(0, 3))
def test_every_row_of_the_stretch_is_answered_once_by_every_schedule(
    days: float, every: list[float], delay: float
) -> None:
    times = np.arange(0.0, days * DAY, DAY / 4)
    try:
        planned = plan(times, [e * DAY for e in every], delay=delay * DAY)
    except Invalid:
        return
    inside = planned.stretch.of(times)
    for trainings in planned.schedules.values():
        answered = sum(t.judged.of(times).astype(int) for t in trainings)
        assert (answered == inside).all()
        assert all(t.on.begin >= times[0] - 1e-6 - 0 * delay for t in trainings)


def test_data_iteration_is_told_from_model_iteration() -> None:
    result = analyse(drifting(0.5), alternative=tree)
    gains = {(gain.of, gain.to): gain.estimate.mean for gain in result.iteration}
    assert gains["as it is", "newer data"] > gains["as it is", "other model"]
    assert gains["other model", "newer data"] > 0


def test_values_are_judged_by_their_error() -> None:
    history = drifting(0.0)
    y = (history.X[:, 0] * (1 + history.times / (30 * DAY))).astype(np.float64)

    def line(context: TrainingContext) -> Any:
        return LinearRegression().fit(context.fresh.X, context.fresh.y)

    result = freshness(line, LabelledHistory(history.X, y, history.times), FreshnessQuestion(EVERY))
    assert result.measure == "mean absolute error"
    assert result.verdict.answer == "pays"


# --- intervals and verdicts --------------------------------------------------


def test_intervals_over_days_cover_what_they_promise() -> None:
    """Days vary, so rows are not independent: intervals over rows would cover far less."""
    random = np.random.default_rng(1)
    blocks = np.repeat(np.arange(30), 50)
    covered = naive = 0
    for _ in range(400):
        values = np.repeat(random.normal(0, 1, 30), 50) + random.normal(0, 1, 1_500)
        estimate = block_mean(values, blocks, 0.05)
        covered += estimate.low <= 0 <= estimate.high
        naive += abs(values.mean()) <= 1.96 * values.std() / np.sqrt(len(values))
    assert 0.92 <= covered / 400 <= 0.98
    assert naive / 400 < 0.5


def test_too_few_blocks_give_no_interval() -> None:
    estimate = block_mean(np.ones(100), np.repeat(np.arange(5), 20), 0.05)
    assert (estimate.mean, estimate.low, estimate.high) == (1.0, -np.inf, np.inf)
    assert np.isnan(block_mean(np.empty(0), np.empty(0, np.int64), 0.05).mean)


def gain(of: str, to: str, low: float, high: float) -> Gain:
    return Gain(of, to, Estimate((low + high) / 2, low, high, 100, 30))


VERDICTS: dict[str, tuple[list[Gain], str, str]] = {
    "nothing pays": (
        [gain("never", "m", -0.001, 0.002), gain("never", "d", -0.002, 0.004),
         gain("m", "d", 0, 0)],
        "does not pay", "never",
    ),
    "the rare one pays, the frequent one not": (
        [gain("never", "m", 0.01, 0.03), gain("never", "d", 0.01, 0.03),
         gain("m", "d", -0.001, 0.002)],
        "pays", "m",
    ),
    "only the frequent one pays": (
        [gain("never", "m", -0.01, 0.02), gain("never", "d", 0.01, 0.05), gain("m", "d", 0, 0.02)],
        "pays", "d",
    ),
    "surely something, but not worth it": ([gain("never", "m", 0.001, 0.004)], "does not pay",
                                           "never"),
    "it cannot be told": ([gain("never", "m", -0.02, 0.04)], "undecided", "never"),
    "pays, and beyond it cannot be told": (
        [gain("never", "m", 0.01, 0.03), gain("never", "d", -0.01, 0.06),
         gain("m", "d", -0.1, 0.1)],
        "undecided", "m",
    ),
    "no interval": ([Gain("never", "m", Estimate(0.1, -np.inf, np.inf, 9, 3))], "undecided",
                    "never"),
}  # fmt: skip


@pytest.mark.parametrize("case", VERDICTS)
def test_a_verdict_claims_no_more_than_the_intervals(case: str) -> None:
    gains, answer, schedule = VERDICTS[case]
    verdict = conclude(gains, 0.005)
    assert (verdict.answer, verdict.schedule) == (answer, schedule), verdict.text


# --- refusals, reports, commands ---------------------------------------------


def failing(context: TrainingContext) -> Any:
    raise RuntimeError("no disk left on the moon")


def nothing(context: TrainingContext) -> Any:
    return {}


REFUSED: dict[str, tuple[Any, LabelledHistory, FreshnessQuestion, str]] = {
    "no rows": (
        train,
        LabelledHistory(np.empty((0, 2)), np.empty(0), np.empty(0)),
        FreshnessQuestion(EVERY),
        "none",
    ),
    "too short a history": (
        train,
        drifting(0, days=20),
        FreshnessQuestion(EVERY),
        "at least 60d of history",
    ),
    "labels that come too late": (
        train,
        drifting(0),
        FreshnessQuestion(EVERY, delay=90 * DAY),
        "nothing is left to train on",
    ),
    "no schedule": (train, drifting(0), FreshnessQuestion(()), "at least one schedule"),
    "a schedule of nothing": (train, drifting(0), FreshnessQuestion((0.0,)), "more than 0 seconds"),
    "a training that raises": (
        failing,
        drifting(0),
        FreshnessQuestion(EVERY),
        "train failed from 1970-01-01",
    ),
    "a training that gives no model": (
        nothing,
        drifting(0),
        FreshnessQuestion(EVERY),
        "a fitted estimator",
    ),
    "an empty window": (
        train,
        LabelledHistory(np.ones((40, 2)), np.arange(40) % 2, np.linspace(100 * DAY, 200 * DAY, 40)),
        FreshnessQuestion((40 * DAY,)),
        "expected 20 from",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_analysed_is_refused_with_the_reason(case: str) -> None:
    entry, history, question, reason = REFUSED[case]
    with pytest.raises(HubFault) as caught:
        freshness(entry, history, question)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    "times", [np.arange(3.0), np.array([[1.0]]), np.array([1.0, np.nan, 2.0, 3.0])]
)
def test_rows_need_one_time_each(times: np.ndarray) -> None:
    with pytest.raises(Invalid, match="expected"):
        LabelledHistory.sorted(np.zeros((4, 2)), np.zeros(4), times)


def test_a_schedule_of_more_trainings_than_anybody_waits_for_is_refused() -> None:
    with pytest.raises(Invalid, match="every 1s takes 5,184,000 on this history"):
        plan(np.arange(0.0, 120 * DAY + 1, DAY), (30 * DAY, 1.0))


def test_the_command_writes_its_report_and_says_its_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    history = drifting(0.5, a_day=30)
    rows = tmp_path / "rows.npz"
    shuffled = np.random.default_rng(0).permutation(len(history.times))
    np.savez(rows, X=history.X[shuffled], y=history.y[shuffled], t=history.times[shuffled])
    words = ["freshness", "demo", "--rows", str(rows), "--every", "30d,7d"]
    words += ["--entry", "tests.hub.freshness.test_freshness:train"]
    for name in ("report.html", "report.png"):
        code = main([*words, "--out", str(tmp_path / name), "--json"])
        printed = json.loads(capsys.readouterr().out)
        assert (code, printed["verdict"]["answer"]) == (0, "pays")
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")
    text = (tmp_path / "report.html").read_text()
    assert "<svg" in text
    assert "do not cover another seed" in text
    assert main(words) == 0
    assert "retrain" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_table_of_texts_booleans_and_missing_values_is_analysed_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    history = drifting(0.5, a_day=30)
    count = len(history.times)
    frame = pd.DataFrame(history.X, columns=[f"x{i}" for i in range(history.X.shape[1])])
    frame = frame.assign(city=["Bern", "Ulm"] * (count // 2), member=np.arange(count) % 3 == 0)
    frame.loc[::50, "x0"] = np.nan
    frame = frame.assign(outcome=np.where(history.y == 1, "yes", "no"))
    frame["when"] = pd.to_datetime(history.times, unit="s")
    rows = tmp_path / "rows"
    frame.to_csv(rows, index=False) if kind == "csv" else frame.to_parquet(rows)
    words = f"freshness demo --rows {rows} --label outcome --time when --every 30d,7d --json"
    entry = ["--entry", "tests.hub.freshness.test_freshness:texts"]
    assert main([*words.split(), *entry]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"]["answer"] == "pays"


def test_names_in_a_report_are_escaped(tmp_path: Path) -> None:
    result = analyse(drifting(0.0, a_day=10))
    assert "<script>" not in page(result, "<svg/>", "<script>alert(1)</script>")
    with pytest.raises(Invalid, match="ends in"):
        write_report(result, tmp_path / "report.pdf", title="x")


WRONG: dict[str, tuple[list[str], str]] = {
    "no hub and no entry": (["freshness", "m"], "say which hub"),
    "a function that is not there": (["freshness", "m", "--entry", "tests:nobody"], "no attribute"),
    "a module that is not there": (["freshness", "m", "--entry", "nobody:x"], "No module"),
    "a schedule of words": (["freshness", "m", "--every", "daily"], "expected seconds, or 90s"),
    "a report in a folder that is not there": (
        ["freshness", "m", "--out", "no/r.html"], "no/r.html: cannot be written; No such file",
    ),
    "a report of another kind": (["freshness", "m", "--out", "r.pdf"], "ends in .html, .png or"),
    "rows that are none": (
        ["freshness", "m", "--entry", f"{__name__}:train", "--rows", __file__],
        "expected Parquet, an .npz, or CSV with a header",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_command_that_cannot_be_done_says_why(
    case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words, reason = WRONG[case]
    assert main(words) == 1
    assert reason in capsys.readouterr().err


TRAINS = """
import sys
import cloud_hub.engine.child, cloud_hub.freshness.spreading

heavy = {"scipy", "sklearn", "pandas", "pyarrow", "onnxruntime"} & sys.modules.keys()
assert not heavy, heavy
"""


def test_a_process_that_trains_loads_no_library_but_those_of_its_training() -> None:
    subprocess.run([sys.executable, "-c", TRAINS], check=True, timeout=PATIENCE)
