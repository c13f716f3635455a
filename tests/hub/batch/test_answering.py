"""Rows to answers: lists of items, columns, what is kept of an answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression, LogisticRegression

from cloud_hub.batch.answering import Answering, ranked
from cloud_hub.batch.layout import class_columns
from cloud_hub.batch.sources.extract import extract
from cloud_hub.batch.sources.parts import read_part
from cloud_hub.batch.sources.wanted import batch_of, names_of
from cloud_hub.errors import Invalid
from cloud_hub.policy.schema import BatchJob, BatchSource
from converters import convert
from edge_sdk.model.release import Release

SOURCE = BatchSource(csv="x")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Release]:
    folder = tmp_path_factory.mktemp("models")
    X = np.random.default_rng(0).normal(size=(300, 2)).astype(np.float32)
    names = ["a", "b"]
    import pandas as pd

    frame = pd.DataFrame(X, columns=names)
    value = LinearRegression().fit(frame, X[:, 0] - X[:, 1])
    clicked = LogisticRegression().fit(frame, np.where(X[:, 0] > 0, "yes", "no"))
    return {
        "value": convert(value, frame, X[:, 0] - X[:, 1], name="value", out=folder / "value"),
        "clicked": convert(
            clicked, frame, np.where(X[:, 0] > 0, "yes", "no"), name="clicked",
            out=folder / "clicked",
        ),
    }  # fmt: skip


def table(rows: list[tuple[Any, ...]]) -> pa.RecordBatch:
    user, hotel, a, b = zip(*rows, strict=True)
    numbers = {"a": pa.array(a, pa.float32()), "b": pa.array(b, pa.float32())}
    return pa.RecordBatch.from_pydict({"user": list(user), "hotel": list(hotel), **numbers})


ROWS = [("u", "x", 1, 0), ("u", "y", 3, 0), ("u", "z", 2, 0), ("v", "y", 0, 0)]


@pytest.mark.parametrize("kind", ["value", "clicked"])
def test_rows_of_one_entity_become_a_list_of_the_best_items(
    models: dict[str, Release], kind: str
) -> None:
    job = BatchJob(SOURCE, entity="user", item="hotel", top=2)
    answering = Answering(models[kind], job)
    [batch] = answering.answer([table(ROWS)])
    rows = batch.to_pylist()
    assert [(r["entity"], r["item_1"], r["item_2"]) for r in rows] == [
        ("u", "y", "z"), ("v", "y", None),
    ]  # fmt: skip
    assert rows[0]["score_1"] > rows[0]["score_2"]
    assert rows[1]["score_2"] is None


def test_an_entity_is_never_cut_into_two_parts(models: dict[str, Release], tmp_path: Path) -> None:
    rows = [(f"u{i // 7}", f"h{i}", i, 0) for i in range(100)]
    batches = [table(rows[i : i + 9]) for i in range(0, 100, 9)]
    parts = extract(batches, tmp_path, ["user", "hotel", "a", "b"], 20, together="user")
    assert len(parts) > 3
    seen: list[str] = []
    for part in parts:
        names = [n for b in read_part(part, ["user"], 10) for n in b.column(0).to_pylist()]
        assert not set(names) & set(seen)
        seen += names
    assert seen == [row[0] for row in rows]


def test_numbers_and_labels_are_columns_of_their_own(models: dict[str, Release]) -> None:
    job = BatchJob(SOURCE, entity="user")
    value, clicked = (Answering(models[kind], job) for kind in ("value", "clicked"))
    [batch] = value.answer([table(ROWS)])
    assert batch.schema.names == ["entity", "prediction"]
    np.testing.assert_allclose(batch.column(1).to_numpy(), [1, 3, 2, 0], atol=1e-5)
    [batch] = clicked.answer([table(ROWS)])
    assert batch.schema.names == ["entity", "prediction", "probability_no", "probability_yes"]
    assert batch.column(1).to_pylist()[:3] == ["yes"] * 3


def test_classes_that_are_no_names_of_columns_go_by_number() -> None:
    assert class_columns("p", ["a", "A"]) == ("p_0", "p_1")
    assert class_columns("p", ["it's", "x"]) == ("p_0", "p_1")
    assert class_columns("p", [1, 2]) == ("p_1", "p_2")


def test_a_list_of_a_model_that_ranks_nothing_is_refused(models: dict[str, Release]) -> None:
    with pytest.raises(Invalid, match="gives nothing to rank by"):
        Answering(models["value"], BatchJob(SOURCE, top=3))


@given(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=6), min_size=1, max_size=6),
       st.integers(1, 4))  # fmt: skip
def test_the_best_of_each_group_are_those_that_sorting_gives(
    groups: list[list[int]], top: int
) -> None:
    sizes = [len(group) for group in groups]
    starts = np.cumsum([0, *sizes[:-1]])
    scores = np.array([s for group in groups for s in group], float)
    _, rows = ranked(starts, scores, top)
    for start, group, found in zip(starts, groups, rows.tolist(), strict=True):
        order = sorted(range(len(group)), key=lambda i: -group[i])[:top]
        assert [i for i in found if i >= 0] == [start + i for i in order]


def test_names_of_entities_are_texts_or_whole_numbers() -> None:
    assert names_of(pa.array([7, 8]), "user").to_pylist() == ["7", "8"]
    assert names_of(pa.array(["007"]).dictionary_encode(), "user").to_pylist() == ["007"]
    for bad in (pa.array([1.5]), pa.array(["", "x"]), pa.array([None, "x"]), pa.array(["x" * 600])):
        with pytest.raises(Invalid, match="source: column user: expected"):
            names_of(bad, "user")


def test_rows_of_a_database_keep_their_kinds(models: dict[str, Release]) -> None:
    import decimal

    wanted = Answering(models["value"], BatchJob(SOURCE, entity="user")).wanted
    rows = [("u", 1, decimal.Decimal("2.5")), (7, None, True)]
    batch = batch_of(["user", "a", "b"], rows, wanted)
    assert batch.to_pylist() == [
        {"user": "u", "a": 1.0, "b": 2.5}, {"user": "7", "a": None, "b": 1.0},
    ]  # fmt: skip
    with pytest.raises(Invalid, match="expected texts or whole numbers, got 1.5"):
        batch_of(["user", "a", "b"], [(1.5, 1, 1)], wanted)
