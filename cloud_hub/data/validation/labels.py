"""Checks of labels: their balance, and features that are the label. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloud_hub.data.columns import NUMBERS, kind_of, numbers_of
from cloud_hub.data.statistics import (
    ColumnStatistics,
    bin_counts,
    finite,
    sample_step,
    value_counts,
)
from cloud_hub.data.validation.distances import stability_index, variation
from cloud_hub.data.validation.found import Found, Skipped
from cloud_hub.data.validation.subject import ValidatedRows
from cloud_hub.deferred.libraries import pa, pc

CLASSES = 1_000
"""Different whole numbers up to which labels are classes, and not values."""

FEWEST = 50
"""Rows without which no feature is said to be the label."""

EXPECTED_ROWS = 20.0
"""Rows that a class should have before it is missed."""

SURE = 0.99999
"""Correlation from which a number is the label in another unit."""


def label_balance(subject: ValidatedRows) -> Iterator[Found]:
    """Find one class alone, rare or vanished classes, and classes that moved."""
    label = subject.data.label
    if label is None:
        raise Skipped("the rows have no labels")
    array, policy = subject.array(label), subject.policy
    now = subject.statistics.column(label)
    was = None
    if subject.before is not None and subject.before.label is not None:
        was = subject.before.statistics.column(subject.before.label)
    assert now is not None
    if not now.present:
        return
    if now.distinct <= 1 and now.present > 1:
        yield Found(label, f"{label}: all labels are the same, {_only(array)!r:.60}")
        return
    if not _is_classes(now):
        yield from _moved_values(label, array, was, policy.max_drift)
        return
    counts = dict(value_counts(array))
    rarest = min(counts, key=lambda name: counts[name])
    share = counts[rarest] / now.present
    if share < policy.min_class_share:
        yield Found(
            label, f"{label}: {rarest!r:.60} has {share:.2%} of the rows, at least "
            f"{policy.min_class_share:.2%} are expected", share, policy.min_class_share,
        )  # fmt: skip
    if was is not None and was.present:
        yield from _moved_classes(label, counts, was, policy.max_label_shift)


def _is_classes(column: ColumnStatistics) -> bool:
    return column.by_value or (column.kind == "integer" and column.distinct <= CLASSES)


def _only(array: pa.Array) -> Any:
    return array.drop_null()[0].as_py()


def _moved_classes(
    label: str, counts: dict[str, int], was: ColumnStatistics, most: float
) -> Iterator[Found]:
    if not was.by_value:
        return
    before = dict(zip(was.values, was.counts, strict=False))
    rows, total = sum(counts.values()), sum(before.values())
    gone = [
        name for name, count in before.items()
        if name not in counts and rows * count / total >= EXPECTED_ROWS
    ]  # fmt: skip
    if gone:
        yield Found(label, f"{label}: no row has the label {gone[0]!r:.60}, which "
                    f"{before[gone[0]] / total:.1%} had before", 0.0, None)  # fmt: skip
    names = sorted({*before, *counts})
    moved, chance = variation(
        [before.get(name, 0) for name in names], [counts.get(name, 0) for name in names]
    )
    if moved > most + chance:
        worst = max(names, key=lambda n: abs(counts.get(n, 0) / rows - before.get(n, 0) / total))
        yield Found(
            label,
            f"{label}: {worst!r:.60} has {counts.get(worst, 0) / rows:.1%} of the rows, "
            f"{before.get(worst, 0) / total:.1%} before; {moved:.0%} of the rows moved from one "
            "class to another",
            moved,
            most,
        )


def _moved_values(
    label: str, array: pa.Array, was: ColumnStatistics | None, most: float
) -> Iterator[Found]:
    if was is None or was.by_value or not was.edges:
        return
    moved, chance = stability_index(was.counts, bin_counts(finite(array), was.edges).tolist())
    if moved > most + chance:
        yield Found(label, f"{label}: its values moved against before (stability index "
                    f"{moved:.2f}, at most {most:g})", moved, most)  # fmt: skip


def label_leak(subject: ValidatedRows) -> Iterator[Found]:
    """Find features that are the label, under the same or other names of its values."""
    label = subject.data.label
    if label is None:
        raise Skipped("the rows have no labels")
    now = subject.statistics.column(label)
    assert now is not None
    if len(subject.data) < FEWEST or now.distinct < 2:
        raise Skipped("there are too few rows or labels")
    truth = subject.array(label)
    classes = _is_classes(now)
    places = _codes(truth) if classes else None
    for column in subject.statistics.columns:
        if column.name not in subject.data.names or column.distinct < 2:
            continue
        array = subject.array(column.name)
        if places is not None:
            agreed = 0.0 if column.distinct > now.distinct + 1 else _agreement(array, places)
        else:
            agreed = _correlation(array, truth)
        limit = subject.policy.max_label_agreement if classes else SURE
        if agreed >= limit:
            text = f"{column.name}: is the label itself in {agreed:.2%} of the rows"
            why = "nobody knows it when a prediction is made"
            yield Found(column.name, f"{text}; {why}", agreed, limit)


def _codes(array: pa.Array) -> NDArray[np.int64]:
    """Return a number of each value [N], from 0; missing values have one of their own."""
    found: Any = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    codes = pc.fill_null(found.indices, len(found.dictionary)).to_numpy(zero_copy_only=False)
    return np.asarray(codes, dtype=np.int64)


def _agreement(array: pa.Array, labels: NDArray[np.int64]) -> float:
    """Return the share of rows in which a value stands for one label, and the label for it.

    Of that which is beyond guessing the most frequent label: 0 for a feature that says nothing.
    """
    values = _codes(array)
    width, height = int(labels.max()) + 1, int(values.max()) + 1
    if width * height > 10 * CLASSES * CLASSES:
        return 0.0
    table = np.bincount(values * width + labels, minlength=width * height).reshape(height, width)
    rows = table.sum()
    right = min(table.max(axis=1).sum(), table.max(axis=0).sum()) / rows
    base = table.sum(axis=0).max() / rows
    if base >= 1:
        return 0.0
    return float(right) if (right - base) / (1 - base) > SURE - 0.01 else 0.0


def _correlation(array: pa.Array, truth: pa.Array) -> float:
    if kind_of(array.type) not in NUMBERS or kind_of(truth.type) not in NUMBERS:
        return 0.0
    step = sample_step(len(array))
    pairs = [np.asarray(numbers_of(each), dtype=np.float64)[::step] for each in (array, truth)]
    known = np.isfinite(pairs[0]) & np.isfinite(pairs[1])
    x, y = pairs[0][known], pairs[1][known]
    if len(x) < FEWEST or x.std() == 0 or y.std() == 0:
        return 0.0
    return float(abs(np.corrcoef(x, y)[0, 1]))
