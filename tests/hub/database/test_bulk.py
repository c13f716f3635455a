"""Statements over many rows: what is stored is what was given, on either database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import JSON, BigInteger, Column, Connection, Float, MetaData, String, Table

from cloud_hub.database.bulk import (
    begin_writing,
    insert_adding,
    insert_new,
    insert_rows,
    known_keys,
    rows_by_key,
)
from cloud_hub.hub import Hub

TABLE = Table(
    "many_rows", MetaData(),
    Column("name", String, primary_key=True),
    Column("place", BigInteger, primary_key=True),
    Column("note", String),
    Column("share", Float),
    Column("body", JSON),
)  # fmt: skip
COLUMNS = tuple(column.name for column in TABLE.columns)
KEY = COLUMNS[:2]
TEXTS = (
    "plain", "", "NULL", "null", '"', "\\", '\\"', "a,b", "{a}", "{}", "%s", "\n\t ", " a ", "é",
    "\U0001f600", "'; DROP TABLE many_rows",
)  # fmt: skip
ROWS = [
    *((text, i, text, i / 3, f'{{"text":"{i}"}}') for i, text in enumerate(TEXTS)),
    ("largest", 2**63 - 1, None, 1e308, "[1,2]"),
    ("smallest", -(2**63), None, -5e-324, '"a"'),
    ("nothing", 0, None, None, "null"),
]


@pytest.fixture
def db(inner: Hub) -> Iterator[Connection]:
    with inner.engine.begin() as db:
        begin_writing(db)
        TABLE.create(db)
        yield db
        TABLE.drop(db)


def test_texts_numbers_and_nothing_come_back_as_they_were_given(db: Connection) -> None:
    insert_rows(db, TABLE, COLUMNS, ROWS)
    keys = [row[:2] for row in ROWS]
    assert sorted(rows_by_key(db, TABLE, KEY, COLUMNS, keys)) == sorted(ROWS)
    assert rows_by_key(db, TABLE, KEY, COLUMNS, [("plain", 1)]) == []


def test_keys_that_some_row_has_are_known_nothing_among_them(db: Connection) -> None:
    insert_rows(db, TABLE, COLUMNS, ROWS)
    notes = [(row[0], row[2]) for row in ROWS]
    others = [("plain", None), ("nothing", ""), ("nothing", "NULL"), ("", "plain")]
    found = known_keys(db, TABLE, ("name", "note"), [*notes, *others], nullable=("note",))
    assert found == set(notes)
    assert known_keys(db, TABLE, KEY, []) == set()


def test_rows_that_are_there_are_added_to_and_told_from_new_ones(db: Connection) -> None:
    first, second = ("a", 1, "x", 0.5, "{}"), ("b", 2, "y", 1.5, "{}")
    assert insert_new(db, TABLE, COLUMNS, [first]) == {("a", 1)}
    again = ("a", 1, "z", 0.25, "[]")
    insert_adding(db, TABLE, COLUMNS, [again, second], adds=("share",), replaces=("note",))
    found = rows_by_key(db, TABLE, KEY, ("name", "note", "share", "body"), [("a", 1), ("b", 2)])
    assert sorted(found) == [("a", "z", 0.75, "{}"), ("b", "y", 1.5, "{}")]
