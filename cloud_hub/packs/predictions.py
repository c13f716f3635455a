"""Answers that were computed for packs, stored so that only those to new rows are computed.

Two tables for each model: answers, and the keys of rows that the answering model fails on. Those
are tried once; another version of either model tries them again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from cloud_hub.deferred.libraries import sqlite_utils
from cloud_hub.errors import Invalid
from edge_sdk.model.release import Feed

Row = Sequence[Any]
"""Plain values [columns] in the order of the model: numbers, texts, ``None`` for a missing one."""

Rows = Mapping[bytes, Row]
"""Rows by key."""

Answer = Mapping[str, Any]
"""Plain JSON by name of the output."""


class Answered(NamedTuple):
    """Answers by key; reasons, also by key, why a row has none."""

    answers: dict[bytes, Answer]
    refused: dict[bytes, str]


def answer_each(ask: Callable[[Sequence[Row]], Feed], rows: Rows) -> Answered:
    """Answer rows together, and where that fails those that can be answered.

    Args:
        ask: gives outputs [N, ...] by name for N rows; raises Invalid.
        rows: at least one.
    """
    keys = list(rows)
    try:
        outputs = ask([rows[key] for key in keys])
    except Invalid as error:
        if len(keys) == 1:
            return Answered({}, {keys[0]: str(error)})
        # Halves: one bad row of ten thousand is found in some thirty calls.
        middle = len(keys) // 2
        first, second = (
            answer_each(ask, {key: rows[key] for key in half})
            for half in (keys[:middle], keys[middle:])
        )
        return Answered(first.answers | second.answers, first.refused | second.refused)
    answers: dict[bytes, Answer] = {
        key: {name: array[i].tolist() for name, array in outputs.items()}
        for i, key in enumerate(keys)
    }
    return Answered(answers, {})


class Predictions:
    """Stored answers to the rows of one model.

    Args:
        db: an open database.
        model: whose devices ask.
        source: the release that answers and the one that it answers for.
    """

    def __init__(self, db: sqlite_utils.Database, model: str, source: str) -> None:
        self._answers: Any = db[f"predictions-{model}"]
        self._refused: Any = db[f"refused-{model}"]
        self._source = source

    def answers(self) -> dict[bytes, Answer]:
        """Return all answers by key."""
        rows = self._own(self._answers, "key, answer")
        return {bytes.fromhex(row["key"]): json.loads(row["answer"]) for row in rows}

    def answered(self) -> set[bytes]:
        """Return the keys of rows that have an answer."""
        return {bytes.fromhex(row["key"]) for row in self._own(self._answers, "key")}

    def refused(self) -> set[bytes]:
        """Return the keys of rows that have no answer."""
        return {bytes.fromhex(row["key"]) for row in self._own(self._refused, "key")}

    def add(self, rows: Rows, answered: Answered) -> None:
        """Store new answers, and which rows have none.

        Args:
            rows: that were asked.
            answered: what came of it.
        """
        answers = {
            key: {"row": json.dumps(list(rows[key])), "answer": json.dumps(answer)}
            for key, answer in answered.answers.items()
        }
        self._insert(self._answers, answers)
        self._insert(self._refused, {k: {"reason": why} for k, why in answered.refused.items()})

    def _own(self, table: Any, columns: str) -> Iterable[dict[str, Any]]:
        if not table.exists():
            return ()
        rows: Iterable[dict[str, Any]] = table.rows_where(
            "source = ?", [self._source], select=columns
        )
        return rows

    def _insert(self, table: Any, rows: Mapping[bytes, Mapping[str, str]]) -> None:
        named = ({"key": key.hex(), "source": self._source, **row} for key, row in rows.items())
        table.insert_all(named, pk=("key", "source"), replace=True)
