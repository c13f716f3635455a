"""Groups of rows: which one a row belongs to, what is counted of it, and what is never told."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk.contract.groups import GroupColumn
from edge_sdk.contract.messages import FeedbackReport, WindowReport
from edge_sdk.contract.serving_terms import Reporting
from edge_sdk.errors import InputError
from edge_sdk.serving.predictor import Predictor
from edge_sdk.serving.terms import ServingTerms
from edge_sdk.telemetry.group_counts import PATIENCE, GroupAccumulator
from edge_sdk.telemetry.groups import Grouping, Groups
from edge_sdk.telemetry.histogram_codec import decode_histograms
from edge_sdk.telemetry.histograms import Bins
from tests.edge.builders import make_release, profile, rows

SEX = GroupColumn("sex", values=("f", "m"))
SIDE = GroupColumn("f0", edges=(0.0,))
LEAST = 100


class Clock:
    def __init__(self) -> None:
        self.now = 1_200.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def serving(tmp_path: Path, clock: Clock) -> Predictor:
    release = make_release(tmp_path, groups=(SEX, SIDE))
    return Predictor(release, ServingTerms(reporting=Reporting(60, LEAST, 0)), tag="t", clock=clock)


def told(serving: Predictor, *, final: bool = False, now: float = 1e9) -> list[WindowReport]:
    return [b for b in serving.monitor.collect(now, final=final) if isinstance(b, WindowReport)]


def sizes(report: WindowReport, column: str) -> dict[str, int]:
    return {name: counts.observations for name, counts in report.groups.get(column, {}).items()}


@pytest.mark.parametrize(
    ("column", "value", "group"),
    [
        (SEX, "f", "f"),
        (SEX, "x", "other"),
        (SEX, None, "missing"),
        (SEX, float("nan"), "missing"),
        (GroupColumn("place", values=("1", "2")), 2.0, "2"),
        (GroupColumn("place", values=("0", "1")), True, "1"),
        (GroupColumn("sex", values=("f", "other")), "x", "other"),
        (GroupColumn("sex", values=("f", "missing")), None, "missing"),
        (GroupColumn("age", edges=(30.0, 60.0)), 29, "..30"),
        (GroupColumn("age", edges=(30.0, 60.0)), 30, "30..60"),
        (GroupColumn("age", edges=(30.0, 60.0)), np.float32(60), "60.."),
        (GroupColumn("age", edges=(30.0, 60.0)), float("inf"), "60.."),
        (GroupColumn("age", edges=(30.0, 60.0)), None, "missing"),
    ],
)
def test_a_value_belongs_to_one_group_alone_or_among_others(
    column: GroupColumn, value: Any, group: str
) -> None:
    groups = Groups(column)
    assert groups.names[groups.code(value)] == group
    assert groups.names[groups.codes([value, value])[1]] == group


@given(st.lists(st.floats(width=32), min_size=1, max_size=50))
def test_numbers_of_an_array_are_cut_like_single_ones(values: list[float]) -> None:
    groups = Groups(GroupColumn("age", edges=(-1.5, 0.0, 1e9)))
    alone = [groups.code(value) for value in values]
    assert groups.codes(np.array(values, np.float32)).tolist() == alone
    assert groups.codes(values).tolist() == alone


# sentence: (what is said of groups, what the error says)
REFUSED: dict[str, tuple[Any, str]] = {
    "no names": ("f", "groups: expected them by column, got 'f'"),
    "a list": ({"sex": ["f"]}, "group 'sex': expected one value, got"),
    "a text where numbers are cut": ({"weight": "heavy"}, "group 'weight': expected a number"),
}


@pytest.mark.parametrize(("said", "why"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_group_is_refused_and_counted(
    tmp_path: Path, clock: Clock, said: Any, why: str
) -> None:
    release = make_release(tmp_path, groups=(SEX, GroupColumn("weight", edges=(70.0,))))
    serving = Predictor(release, ServingTerms(), tag="t", clock=clock)
    twice = {n: [v, v] for n, v in said.items()} if isinstance(said, dict) else said
    for ask in (
        lambda: serving.predict(rows(1)[0], said),
        lambda: serving.predict_any(rows(1)[0], groups=said),
        lambda: serving.predict_batch(rows(2), twice),
    ):
        with pytest.raises(InputError, match=why):
            ask()
    (report,) = told(serving)
    assert report.errors == {"group": 3}


def test_a_batch_needs_a_group_for_each_row(serving: Predictor) -> None:
    with pytest.raises(InputError, match="group 'sex': expected 3 values, got 2"):
        serving.predict_batch(rows(3), {"sex": ["f", "m"]})
    with pytest.raises(InputError, match="group 'sex': expected 3 values, got 'fmf'"):
        serving.predict_batch(rows(3), {"sex": "fmf"})


def test_what_a_release_does_not_declare_means_nothing_to_it(tmp_path: Path, clock: Clock) -> None:
    serving = Predictor(make_release(tmp_path), ServingTerms(), tag="t", clock=clock)
    serving.predict(rows(1)[0], {"sex": "f"})
    serving.predict_batch(rows(2), {"sex": ["f", "m"]})
    (report,) = told(serving)
    assert (report.groups, report.predictions) == ({}, {"model": 3})


def test_groups_of_every_way_to_ask_are_counted_with_what_was_answered(serving: Predictor) -> None:
    x = rows(400, seed=5)
    sex = ["f" if i % 2 else "m" for i in range(len(x))]
    made: Counter[tuple[str, Any]] = Counter()
    for row, who in zip(x[:300], sex, strict=False):
        made[who, serving.predict(row, {"sex": who}).label] += 1
    for row, who in zip(x[300:], sex[300:], strict=True):
        named = {f"f{i}": float(v) for i, v in enumerate(row)} | {"sex": who}
        made[who, serving.predict(named).label] += 1
    frame = pd.DataFrame(x[:250], columns=["f0", "f1", "f2", "f3"]).assign(sex=sex[:250])
    for batch in (
        serving.predict_batch(frame),
        serving.predict_batch(frame.to_dict("records")),
        serving.predict_batch({name: frame[name].tolist() for name in frame}),
        serving.predict_batch(x[:250], {"sex": np.array(sex[:250])}),
    ):
        assert batch.labels is not None
        made.update(zip(sex[:250], batch.labels.tolist(), strict=True))
    (report,) = told(serving)
    assert sizes(report, "sex") == {"f": 700, "m": 700}
    for who, counts in report.groups["sex"].items():
        labels, confidences = decode_histograms(counts.outputs)
        assert labels.tolist() == [*(made[who, label] for label in range(3)), 0, 0]
        assert sum(confidences) == 700
    left = int((x[:, 0] < 0).sum() + 4 * (x[:250, 0] < 0).sum())
    assert sizes(report, "f0") == {"..0": left, "0..": 1400 - left}


def test_a_column_waits_until_each_of_its_groups_has_enough(
    serving: Predictor, clock: Clock
) -> None:
    for minute, few in enumerate((40, 30, 30)):
        clock.now = 1_200.0 + 60 * minute
        serving.predict_batch(rows(150), {"sex": ["f"] * few + ["m"] * (150 - few)})
        (report,) = told(serving, now=clock.now + 60)
        enough = minute == 2
        assert sizes(report, "sex") == ({"f": 100, "m": 350} if enough else {})
        assert report.observations == 150


def test_a_rare_group_is_told_as_another_in_the_end(serving: Predictor, clock: Clock) -> None:
    for minute in range(PATIENCE):
        clock.now = 1_200.0 + 60 * minute
        serving.predict_batch(rows(100), {"sex": ["f", *["m"] * 99]})
        (report,) = told(serving, now=clock.now + 60)
        assert sizes(report, "sex") == {} or minute == PATIENCE - 1
    assert sizes(report, "sex") == {"other": 100 * PATIENCE}  # 20 alone would be too few


def test_a_last_report_waits_for_nothing_and_tells_nothing_of_few(serving: Predictor) -> None:
    serving.predict_batch(rows(230), {"sex": ["f"] * 30 + [None] * 90 + ["m"] * 110})
    (report,) = told(serving, final=True)
    assert sizes(report, "sex") == {"other": 120, "m": 110}
    serving.predict_batch(rows(99), {"sex": ["f"] * 99})
    (report,) = told(serving, final=True)
    assert report.groups == {}


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 120)), min_size=1, max_size=30))
def test_nothing_is_told_of_fewer_than_the_minimum_and_nothing_is_lost(
    batches: list[tuple[int, int]],
) -> None:
    grouping, tally, other = Grouping((SEX,), ()), GroupAccumulator(profile()), 2
    bins, sums, count = Bins(profile().outputs), Counter[int](), 0
    for code, size in batches:
        tally.add(bins, np.full((size, 1), code, np.uint8), [["1"] * size, [0.7] * size])
        count += size
        found = tally.take(0, other, LEAST, LEAST * PATIENCE)
        for group, counts in found.items():
            sums[group] += counts.observations
            assert counts.observations >= LEAST
            labels, confidences = decode_histograms(counts.outputs)
            assert labels[1] == confidences[1] == counts.observations
        if found:
            assert sum(sums.values()) == count  # so no difference to all rows is left
    assert sum(sums.values()) <= count
    assert grouping.columns[0].names[other] == "other"


def feedback(serving: Predictor) -> FeedbackReport:
    bodies = serving.monitor.collect(1e9, final=True)
    (report,) = [b for b in bodies if isinstance(b, FeedbackReport)]
    return report


def test_late_labels_are_joined_with_the_group_of_their_prediction(serving: Predictor) -> None:
    batch = serving.predict_batch(rows(220), {"sex": ["f"] * 110 + ["m"] * 110})
    ids = [p.id.rpartition("-")[2] for p in batch]
    single = serving.predict(rows(1)[0], {"sex": "m"})
    told(serving)  # both groups are known by name from here on
    assert batch.labels is not None
    for i in (0, 1, 150):
        serving.feedback(ids[i], label=int(batch.labels[i]))
    serving.feedback(ids[151], label=int(batch.labels[151] + 1) % 3)
    serving.feedback(single.id.rpartition("-")[2], label=single.label)
    report = feedback(serving)
    assert (report.own_labelled, report.own_correct) == (5, 4)
    assert report.groups["sex"] == {"f": (2, 2), "m": (3, 2)}
    assert sum(n for n, _ in report.groups["f0"].values()) == 5


def test_a_label_of_a_group_that_was_never_told_counts_for_other(serving: Predictor) -> None:
    made = [serving.predict(row, {"sex": "f"}) for row in rows(3)]
    for p in made:
        serving.feedback(p.id.rpartition("-")[2], label=p.label)
    assert feedback(serving).groups["sex"] == {"other": (3, 3)}


def test_predictions_that_wait_on_disk_have_their_groups_as_they_may_be_told(
    serving: Predictor,
) -> None:
    serving.predict_batch(rows(200), {"sex": ["f"] * 199 + ["m"]})
    for who in ("f", "m"):
        serving.predict(rows(1)[0], {"sex": who})
    told(serving, final=True)
    (waiting,) = serving.monitor.unlabelled(0, 10).values()
    assert [dict(p.groups)["sex"] for p in waiting] == ["other", "other"]
    serving.predict_batch(rows(200), {"sex": ["f"] * 100 + ["m"] * 100})
    told(serving)
    (waiting,) = serving.monitor.unlabelled(0, 10).values()
    assert [dict(p.groups)["sex"] for p in waiting] == ["f", "m"]
