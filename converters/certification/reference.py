"""The model's own answers, and how far those of a file are from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.certification import parity
from converters.certification.exact_bounds import CONFIDENCE, lower_bound
from converters.certification.parity import Difference, Spreads
from converters.certification.row_counts import RowCounts
from converters.samples.groups import DeclaredGroups
from edge_sdk.contract.certificate import GroupResult
from edge_sdk.model.release import Feed


@dataclass(frozen=True)
class Reference:
    """Answers of the trained model itself to the checked samples; every file is held to them.

    Attributes:
        answers: by output name.
        truth: labels or values of the samples, [N]; ``None`` if no score is certified.
        roles: role of each output that a score is computed from, by output name.
        spreads: what differences are relative to; ``None``: to the answers that are compared.
    """

    answers: Feed
    truth: NDArray[Any] | None
    roles: Mapping[str, str]
    spreads: Spreads | None = None

    @cached_property
    def score(self) -> float | None:
        """Score of the model itself."""
        return self.score_of(self.answers)

    def score_of(self, answers: Feed) -> float | None:
        """Return the accuracy or R² of ``answers``; ``None`` where there is nothing to judge by."""
        return self._score(answers, self.truth)

    def difference(self, answers: Feed) -> Difference:
        """Return how far ``answers`` to the checked samples are from the model's own."""
        return compare_tensors(answers, self.answers)

    def counts(self, answers: Feed) -> RowCounts:
        """Return what can be counted of ``answers`` to the checked samples."""
        difference = self.difference(answers)
        right, own = self._right(answers), self._right(self.answers)
        if right is None or own is None:
            return RowCounts(difference.labelled, difference.flips)
        lost = int((own & ~right).sum())
        return RowCounts(difference.labelled, difference.flips, int(right.sum()), lost)

    def group_results(
        self, answers: Feed, groups: Sequence[DeclaredGroups]
    ) -> tuple[GroupResult, ...]:
        """Return one row of the certificate for each group that has samples.

        Args:
            answers: of the chosen file to the checked samples.
            groups: of the checked samples.
        """
        each = [(group, name, rows) for group in groups for name, rows in group.each()]
        # All groups together: of twenty bounds at 95% one would be wrong as a rule.
        alpha = (1 - CONFIDENCE) / max(1, len(each))
        return tuple(self._group_result(answers, *one, alpha) for one in each)

    def _group_result(
        self,
        answers: Feed,
        group: DeclaredGroups,
        name: str,
        rows: NDArray[np.int64],
        alpha: float,
    ) -> GroupResult:
        own, expected = _take(answers, rows), _take(self.answers, rows)
        truth = None if self.truth is None else self.truth[rows]
        difference = compare_tensors(own, expected, self.spreads)
        right = self._right(answers)
        return GroupResult(
            name,
            len(rows),
            self._score(expected, truth),
            self._score(own, truth),
            difference.label_flips,
            difference.maximum,
            group.column.name,
            RowCounts(difference.labelled, difference.flips).flips_bound(alpha),
            None if right is None else lower_bound(int(right[rows].sum()), len(rows), alpha),
        )

    def _right(self, answers: Feed) -> NDArray[np.bool_] | None:
        """Rows of which the label is the true one; ``None`` where there is nothing to judge by."""
        names = {role: name for name, role in self.roles.items()}
        name = names.get("label") or names.get("labels")
        if self.truth is None or name is None:
            return None
        return parity.right(answers[name], self.truth)

    def _score(self, answers: Feed, truth: Any) -> float | None:
        return parity.score({role: answers[name] for name, role in self.roles.items()}, truth)


def _take(answers: Feed, rows: NDArray[np.int64]) -> Feed:
    return {name: array[rows] for name, array in answers.items()}


def compare_tensors(answers: Feed, expected: Feed, spreads: Spreads | None = None) -> Difference:
    """Compare tensors of any shape as :func:`parity.compare` compares tables.

    Args:
        answers: of the file, by output name.
        expected: of the model itself; the same names and shapes.
        spreads: as in :func:`parity.compare`.

    Returns:
        The difference; all axes but the first count as columns. Outputs without a common first
        axis are compared one by one, and the worst of them counts.
    """
    tables, truth = _aligned(answers, expected)
    if len({len(array) for array in truth.values()}) <= 1:
        return parity.compare(tables, truth, spreads)
    parts = [parity.compare({name: tables[name]}, {name: truth[name]}) for name in truth]
    return Difference(
        max(part.label_flips for part in parts),
        max(part.maximum for part in parts),
        max(part.mean for part in parts),
        (),
        min((part.labelled for part in parts if part.labelled), default=0),
    )


def _aligned(answers: Feed, expected: Feed) -> tuple[Feed, Feed]:
    """Return both as tables; where shapes differ, filled up, so that all that differs counts."""
    tables, truth = {}, {}
    for name, array in expected.items():
        own, theirs = answers[name], array
        if own.ndim == theirs.ndim > 1 and own.shape[1:] != theirs.shape[1:]:
            shape = np.maximum(own.shape[1:], theirs.shape[1:]).tolist()
            own, theirs = filled(own, shape), filled(theirs, shape)
        tables[name], truth[name] = _table(own), _table(theirs)
    return tables, truth


def filled(array: NDArray[Any], shape: Sequence[int]) -> NDArray[Any]:
    """Return answers [N, …] as [N, *shape]: filled up with NaN, or with what no answer is."""
    if array.dtype.kind == "b":
        array = array.astype(np.int8)
    gap = [(0, 0), *((0, want - have) for want, have in zip(shape, array.shape[1:], strict=True))]
    nothing: Any = np.nan if array.dtype.kind == "f" else "\0"
    if array.dtype.kind in "iu":
        nothing = np.iinfo(array.dtype).max
    return np.pad(array, gap, constant_values=nothing)


def _table(array: NDArray[Any]) -> NDArray[Any]:
    if array.ndim == 0:
        return array.reshape(1, 1)
    if array.dtype.kind == "f" and array.ndim != 2:
        return array.reshape(len(array), -1)
    return array.astype(np.float32) if array.dtype == np.float16 else array
