"""Checks of single columns: schema, missing values, ranges. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cloud_hub.data.columns import TEXTS, ColumnKind, kind_of
from cloud_hub.data.statistics import ColumnStatistics, finite
from cloud_hub.data.validation.found import FEW, SIGMAS, Found
from cloud_hub.data.validation.subject import ValidatedRows
from cloud_hub.deferred.libraries import pa, pc

WORDS: dict[ColumnKind, str] = {
    "boolean": "booleans", "integer": "whole numbers", "number": "numbers", "text": "texts",
    "category": "texts", "time": "times",
}  # fmt: skip


def schema(subject: ValidatedRows) -> Iterator[Found]:
    """Find columns that are not there, or have values of another kind."""
    expected = dict(subject.expected)
    if not expected and subject.before is not None:
        features = set(subject.data.names)
        was = subject.before.statistics.columns
        expected = {c.name: c.kind for c in was if c.name in features or _is_feature(subject, c)}
    for name, kind in expected.items():
        if name not in subject.data.names:
            yield Found(name, f"{name}: expected {WORDS[kind]}, there is no such column")
        else:
            wrong = _wrong(subject.array(name), kind)
            if wrong:
                yield Found(name, f"{name}: expected {WORDS[kind]}, {wrong}")


def _is_feature(subject: ValidatedRows, column: ColumnStatistics) -> bool:
    """Whether a column of before that is not there now was a feature: not a role by its name."""
    assert subject.before is not None
    roles = {subject.before.label, *subject.data.roles.values(), "y", "time", "device", "t"}
    return column.name not in roles


def _wrong(array: pa.Array, expected: ColumnKind) -> str:
    """Return why a column does not have the values that are expected; empty if it has them."""
    kind = kind_of(array.type)
    if kind == expected or array.null_count == len(array):
        return ""
    if expected in TEXTS:
        return "" if kind in TEXTS else f"got {WORDS[kind]}"
    if expected == "time" or kind == "time":
        return f"got {WORDS[kind]}"
    if kind in TEXTS:
        return _first_text(array)
    if expected == "number":
        return ""
    return _not_whole(array, expected)


def _first_text(array: pa.Array) -> str:
    """Name the first text that is no number."""
    texts = array.cast(pa.string())
    numeric = pc.match_substring_regex(texts, r"^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$")
    others = pc.invert(pc.fill_null(numeric, True))
    count = pc.sum(others).as_py() or 0
    if not count:
        return "got texts"
    row = pc.index(others, True).as_py()
    return f"got texts in {count:,} rows, such as {texts[row].as_py()!r:.60} in row {row}"


def _not_whole(array: pa.Array, expected: ColumnKind) -> str:
    numbers = finite(array).astype(np.float64)
    fits = np.isin(numbers, (0, 1)) if expected == "boolean" else numbers == np.floor(numbers)
    if fits.all():
        return ""
    odd = numbers[~fits]
    return f"got {odd[0]:g} in {len(odd):,} rows"


def missing(subject: ValidatedRows) -> Iterator[Found]:
    """Find columns with too many missing values, or with more than before."""
    policy, label = subject.policy, subject.data.label
    for now in subject.statistics.columns:
        share = now.missing / max(1, now.rows)
        if now.name == label and now.missing:
            yield Found(now.name, f"{now.name}: expected a label in each row, {now.missing:,} have "
                        "none", share, 0.0)  # fmt: skip
        elif now.name in subject.data.names and share:
            was = subject.before.statistics.column(now.name) if subject.before else None
            found = _missing_of(now, was, share, policy.max_missing, policy.max_missing_rise)
            if found is not None:
                absent = pc.is_null(subject.array(now.name)).to_numpy(zero_copy_only=False)
                yield found._replace(text=f"{found.text}{_whose(subject, absent)}")


def _missing_of(
    now: ColumnStatistics, was: ColumnStatistics | None, share: float, most: float, rise: float
) -> Found | None:
    text = f"{now.name}: {share:.1%} of the values are missing"
    if was is None:
        text = f"{text}, at most {most:.1%} are expected"
        chance = SIGMAS * math.sqrt(most * (1 - most) / now.rows)
        return Found(now.name, text, share, most) if share > most + chance else None
    before = was.missing / max(1, was.rows)
    both = (now.missing + was.missing) / (now.rows + was.rows)
    error = math.sqrt(both * (1 - both) * (1 / now.rows + 1 / was.rows))
    risen = share > before + rise + SIGMAS * error
    text = f"{text}, {before:.1%} were before"
    return Found(now.name, text, share, before + rise) if risen else None


def ranges(subject: ValidatedRows) -> Iterator[Found]:
    """Find numbers that are infinite, outside a declared range, or far outside that of before."""
    policy = subject.policy
    declared = {rule.column: rule for rule in policy.ranges}
    features = {*subject.data.names, subject.data.label}
    for now in subject.statistics.columns:
        if now.name not in features or now.kind in (*TEXTS, "boolean"):
            continue
        if now.infinite:
            yield Found(now.name, f"{now.name}: expected finite numbers, {now.infinite:,} are "
                        "infinite", float(now.infinite), 0.0)  # fmt: skip
        if now.name in declared:
            rule = declared[now.name]
            low = -math.inf if rule.least is None else rule.least
            high = math.inf if rule.most is None else rule.most
            yield from _outside(subject, now, low, high, 0)
        elif now.kind != "time" and subject.before is not None:
            was = subject.before.statistics.column(now.name)
            varied = was is not None and was.distinct > 1 and not (was.numbered and now.numbered)
            if was is not None and varied and was.minimum is not None and was.maximum is not None:
                # As wide again on either side: the largest of a heavy tail is often larger.
                span = max(was.maximum - was.minimum, was.deviation or 0.0)
                yield from _outside(subject, now, was.minimum - span, was.maximum + span, FEW)
    absent = [name for name in declared if name not in subject.data.table.column_names]
    for name in absent:
        yield Found(name, f"{name}: the policy gives a range, and there is no such column")


def _outside(
    subject: ValidatedRows, now: ColumnStatistics, low: float, high: float, few: int
) -> Iterator[Found]:
    if now.minimum is None or now.maximum is None or (now.minimum >= low and now.maximum <= high):
        return
    numbers = subject.data.column(now.name)
    # Comparisons with a missing value are false; infinite ones have a finding of their own.
    outside = ((numbers < low) | (numbers > high)) & np.isfinite(numbers)
    odd = numbers[outside]
    share, most = len(odd) / max(1, now.present), subject.policy.max_out_of_range
    if len(odd) > few and share > most:
        yield Found(
            now.name,
            f"{now.name}: expected {low:g} to {high:g}, {len(odd):,} numbers are outside, such as "
            f"{odd[0]:g}{_whose(subject, outside)}",
            share,
            most,
        )


def _whose(subject: ValidatedRows, marked: NDArray[np.bool_]) -> str:
    """Name the device that most of the marked rows [N] are of; empty if no one has most."""
    devices = subject.data.devices
    if devices is None:
        return ""
    names, counts = np.unique(devices[marked].astype(np.str_), return_counts=True)
    most = int(counts.argmax())
    if counts[most] * 2 <= counts.sum():
        return ""
    return f"; {counts[most]:,} are of the device {str(names[most])!r:.60}"
