"""Rows without a fault, and the same rows with one: what validation must find, and only that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from cloud_hub.data.dataset import Dataset
from cloud_hub.data.statistics import statistics
from cloud_hub.data.validation.subject import DataReference, FleetColumn, ValidatedRows
from edge_sdk.contract.profile import FeatureProfile

COLUMNS = 50
DEVICES = 200
DAYS = 30
BEGIN = 1_700_000_000.0
CATEGORIES = np.array(list("abcdefgh"))


def columns(rows: int, seed: int) -> dict[str, Any]:
    """40 numbers (bells and heavy tails), 4 integers, 4 categories, 2 booleans; 3% are missing in
    one of them.
    """
    random = np.random.default_rng(seed)
    found: dict[str, Any] = {}
    for i in range(COLUMNS - 10):
        values = random.normal(size=rows) if i % 3 else random.lognormal(size=rows)
        found[f"f{i}"] = values.astype(np.float32)
    found["f7"] = np.where(random.random(rows) < 0.03, np.nan, found["f7"]).astype(np.float32)
    for i in range(4):
        found[f"i{i}"] = random.poisson(5 + i, size=rows)
        texts = CATEGORIES[random.integers(0, len(CATEGORIES), size=rows)]
        found[f"c{i}"] = pa.array(texts).dictionary_encode()
    for i in range(2):
        found[f"b{i}"] = random.random(rows) < 0.3
    return found


def clean(rows: int, seed: int) -> Dataset:
    """Labelled rows of a month, of many devices."""
    random = np.random.default_rng(seed + 10_000)
    X = columns(rows, seed)
    y = (X["f1"] + X["f2"] + random.normal(size=rows) > 0).astype(np.int64)
    times = BEGIN + np.sort(random.random(rows)) * DAYS * 86_400
    names = np.array([f"d-{i}" for i in range(DEVICES)])
    devices = names[random.integers(0, DEVICES, size=rows)]
    return Dataset.of(X, y, times=times, devices=devices.tolist())


def subject(rows: int, seed: int = 0) -> ValidatedRows:
    """Rows without a fault, with a version before, a holdout and a fleet that sees the same."""
    before = clean(rows, seed + 1)
    return ValidatedRows(
        clean(rows, seed + 2),
        before=DataReference("train@1", statistics(before), "y"),
        holdout=clean(max(1_000, rows // 10), seed + 3),
        fleet=fleet(seed + 4),
    )


def fleet(seed: int, predictions: int = 50_000) -> Mapping[str, FleetColumn]:
    """What devices counted of two features."""
    X = columns(predictions, seed)
    edges = np.unique(np.quantile(X["f1"], np.linspace(0, 1, 33)))
    counts, _ = np.histogram(X["f1"], edges)
    number = FeatureProfile("f1", (*counts.tolist(), 0, 0), edges=tuple(edges.tolist()))
    names, of_each = np.unique(X["c1"].to_numpy(zero_copy_only=False), return_counts=True)
    text = FeatureProfile("c1", (*of_each.tolist(), 0, 0), categories=tuple(names.tolist()))
    return {f.name: FleetColumn(f, f.counts) for f in (number, text)}


def with_column(data: Dataset, name: str, values: Any) -> Dataset:
    place = data.table.column_names.index(name)
    return replace(data, table=data.table.set_column(place, name, pa.array(values)))


def _numbers(data: Dataset, name: str, change: Callable[[Any, Any], Any]) -> Dataset:
    random = np.random.default_rng(9)
    values = np.array(data.column(name), dtype=np.float32)
    return with_column(
        data, name, pa.array(change(values, random.random(len(values))), from_pandas=True)
    )


def _missing(s: ValidatedRows) -> ValidatedRows:
    return replace(s, data=_numbers(s.data, "f3", lambda v, r: np.where(r < 0.1, np.nan, v)))


def _wrong_type(s: ValidatedRows) -> ValidatedRows:
    texts = [f"{value:.3f}" for value in s.data.column("f5")]
    texts[len(texts) // 2] = "n/a"
    return replace(s, data=with_column(s.data, "f5", texts))


def _out_of_range(s: ValidatedRows) -> ValidatedRows:
    return replace(s, data=_numbers(s.data, "f4", lambda v, r: np.where(r < 0.002, -999.0, v)))


def _duplicate_rows(s: ValidatedRows) -> ValidatedRows:
    count = len(s.data)
    rows = np.arange(count)
    rows[int(0.7 * count) :] = np.arange(count - int(0.7 * count))
    data = s.data.take(rows)
    # Each as of its own time and device: only the features are those of another row.
    for name in ("time", "device"):
        data = with_column(data, name, s.data.table.column(name).combine_chunks())
    return replace(s, data=data)


def _duplicate_features(s: ValidatedRows) -> ValidatedRows:
    return replace(s, data=with_column(s.data, "f8", s.data.table.column("f10").combine_chunks()))


def _label_balance(s: ValidatedRows) -> ValidatedRows:
    random = np.random.default_rng(9).random(len(s.data))
    labels = s.data.labels
    assert labels is not None
    return replace(s, data=with_column(s.data, "y", np.where(random < 0.6, 1, labels)))


def _label_leak(s: ValidatedRows) -> ValidatedRows:
    return replace(s, data=with_column(s.data, "b1", s.data.labels == 1))


def _holdout_overlap(s: ValidatedRows) -> ValidatedRows:
    assert s.holdout is not None
    rows = np.arange(len(s.data) // 50)
    features = s.data.take(rows)
    mixed = pa.concat_tables([s.holdout.table, features.table], promote_options="permissive")
    return replace(s, holdout=replace(s.holdout, table=mixed.combine_chunks()))


def _drift(s: ValidatedRows) -> ValidatedRows:
    return replace(s, data=_numbers(s.data, "f13", lambda v, r: v + 1.0))


def _device_share(s: ValidatedRows) -> ValidatedRows:
    devices = s.data.devices
    assert devices is not None
    devices = np.where(np.arange(len(devices)) % 3 == 0, "d-7", devices)
    return replace(s, data=with_column(s.data, "device", devices.tolist()))


def _fleet(s: ValidatedRows) -> ValidatedRows:
    counted = {n: (*c.counts[: len(c.counts) // 3], *([0] * (len(c.counts) - len(c.counts) // 3)))
               for n, c in s.fleet.items()}  # fmt: skip
    lopsided = {n: replace(c, counts=counted[n]) for n, c in s.fleet.items() if n == "f1"}
    return replace(s, fleet={**s.fleet, **lopsided})


def _new_categories(s: ValidatedRows) -> ValidatedRows:
    random = np.random.default_rng(9).random(len(s.data))
    texts = np.where(random < 0.03, "new", s.data.column("c2").astype(str))
    return replace(s, data=with_column(s.data, "c2", pa.array(texts).dictionary_encode()))


def _time_gap(s: ValidatedRows) -> ValidatedRows:
    times = s.data.times
    assert times is not None
    late = times > BEGIN + 20 * 86_400
    moved = times + np.where(late, 12 * 86_400, 0)
    column = pa.array((moved * 1e6).astype(np.int64)).cast(pa.timestamp("us", tz="UTC"))
    return replace(s, data=with_column(s.data, "time", column))


FAULTS: Mapping[str, Callable[[ValidatedRows], ValidatedRows]] = {
    "missing": _missing,
    "schema": _wrong_type,
    "range": _out_of_range,
    "duplicate_rows": _duplicate_rows,
    "duplicate_features": _duplicate_features,
    "label_balance": _label_balance,
    "label_leak": _label_leak,
    "holdout_overlap": _holdout_overlap,
    "drift": _drift,
    "device_share": _device_share,
    "fleet": _fleet,
    "new_categories": _new_categories,
    "time_gap": _time_gap,
}
"""By the name of the check that must find it."""
