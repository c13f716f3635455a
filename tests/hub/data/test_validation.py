"""Validation of data: each planted fault is found by its check, and clean rows have none."""

from __future__ import annotations

import functools
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from cloud_hub.data.dataset import Dataset
from cloud_hub.data.statistics import statistics
from cloud_hub.data.validation.distances import stability_index
from cloud_hub.data.validation.origins import capped, device_cap
from cloud_hub.data.validation.subject import DataReference, ValidatedRows
from cloud_hub.data.validation.validate import CHECKS, validate
from cloud_hub.policy.schema.validation import RangeRule, ValidationPolicy
from tests.hub.data.faults import FAULTS, clean, subject

ROWS = 20_000
MAY_TELL_TOO = {
    "schema": {"drift"},  # texts have none of the numbers' distribution
    "label_leak": {"drift"},
    "drift": {"range"},
    "new_categories": {"drift"},
}
"""Other checks that the same fault rightly trips."""


@functools.cache
def good() -> ValidatedRows:
    return subject(ROWS)


@pytest.mark.parametrize("seed", [0, 100, 200])
def test_clean_rows_have_no_findings_and_every_check_is_made(seed: int) -> None:
    report = validate(subject(ROWS, seed))
    assert report.findings == ()
    assert [check.skipped for check in report.checks] == [""] * len(CHECKS)
    assert (report.ok, report.reason(), report.before) == (True, "", "train@1")


@pytest.mark.parametrize("rows", [100, 300, 1_000])
def test_few_clean_rows_have_none_either(rows: int) -> None:
    for seed in range(5):
        few = replace(good(), data=clean(rows, 50 + seed))
        assert [f.text for f in validate(few).findings] == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_by_its_check(fault: str) -> None:
    report = validate(FAULTS[fault](good()))
    found = {finding.check for finding in report.findings}
    assert fault in found
    assert found <= {fault} | MAY_TELL_TOO.get(fault, set())
    assert all(finding.text for finding in report.findings)


def test_every_check_has_a_planted_fault() -> None:
    assert set(FAULTS) == set(CHECKS)


def test_what_stops_a_run_is_the_policys_to_say() -> None:
    bad = FAULTS["drift"](good())
    assert validate(bad).ok
    strict = replace(bad, policy=ValidationPolicy(told=()))
    assert "data: f13: its values moved against train@1" in validate(strict).reason()
    leaking = FAULTS["label_leak"](good())
    assert not validate(leaking).ok
    assert validate(replace(leaking, policy=ValidationPolicy(told=("label_leak",)))).ok


def data(y: Any = None, **values: Any) -> Dataset:
    return Dataset.of(values, y)


def found(check: str, rows: Dataset, before: Dataset | None = None, **policy: Any) -> list[str]:
    reference = None if before is None else DataReference("t@1", statistics(before), before.label)
    report = validate(ValidatedRows(rows, ValidationPolicy(**policy), before=reference))
    return [finding.text for finding in report.findings if finding.check == check]


X = np.random.default_rng(0).normal(size=200)


@pytest.mark.parametrize(
    ("check", "rows", "before", "policy", "text"),
    [
        ("missing", data([1, None] * 100, x=X), None, {}, "y: expected a label in each row, 100"),
        ("missing", data(x=[None] * 150 + [1.0] * 50), None, {}, "x: 75.0% of the values are miss"),
        ("range", data(x=np.where(X > 2, np.inf, X)), None, {}, "x: expected finite numbers, "),
        ("range", data(x=X), None, {"ranges": (RangeRule("x", least=0),)}, "x: expected 0 to inf"),
        ("range", data(x=X), None, {"ranges": (RangeRule("z", most=1),)}, "there is no such colu"),
        ("schema", data(z=X), data(x=X), {}, "x: expected numbers, there is no such column"),
        ("schema", data(x=["1"] * 199 + ["?"]), data(x=X), {}, "got texts in 1 rows, such as '?'"),
        ("schema", data(x=X + 0.5), data(x=np.arange(200)), {}, "x: expected whole numbers, got "),
        ("schema", data(x=X), data(x=["a"] * 200), {}, "x: expected texts, got numbers"),
        ("duplicate_rows", data(x=[1.0] * 200), None, {}, "199 rows (99.5%) have the features"),
        ("duplicate_features", data(a=X, b=X), None, {}, "b: is the same as a in every row"),
        ("label_balance", data([1] * 200, x=X), None, {}, "y: all labels are the same, 1"),
        (
            "label_balance", data(["a"] * 198 + ["b"] * 2, x=X), None, {"min_class_share": 0.05},
            "y: 'b' has 1.00% of the rows, at least 5.00%",
        ),
        (
            "label_balance", data(["a"] * 200, x=X), data(["a", "b"] * 100, x=X), {},
            "y: all labels are the same, 'a'",
        ),
        (
            "label_balance", data(["a", "c"] * 100, x=X), data(["a", "b"] * 100, x=X), {},
            "y: no row has the label 'b', which 50.0% had before",
        ),
        ("label_leak", data(X * 2 + 1, x=X), None, {}, "x: is the label itself"),
        ("label_leak", data(["u", "v"] * 100, x=[3, 9] * 100), None, {}, "x: is the label itself"),
    ],
)  # fmt: skip
def test_a_fault_is_said_in_words(
    check: str, rows: Dataset, before: Dataset | None, policy: dict[str, Any], text: str
) -> None:
    assert any(text in said for said in found(check, rows, before, **policy))


@pytest.mark.parametrize(("check", "odd"), [("missing", np.nan), ("range", 1e9)])
def test_a_device_that_most_odd_values_are_of_is_named(check: str, odd: float) -> None:
    devices = [f"d-{i % 5}" for i in range(200)]
    values = np.where(np.array(devices) == "d-3", odd, X)
    rows = Dataset.of({"x": pa.array(values, from_pandas=True)}, devices=devices)
    (said,) = found(check, rows, data(x=X))
    assert said.endswith("; 40 are of the device 'd-3'")
    spread = replace(rows, device=None)
    assert "of the device" not in found(check, spread, data(x=X))[0]


def test_what_the_version_before_had_already_is_no_fault() -> None:
    odd = data(["a", "b"] * 100, a=X, b=X, c=[None] * 150 + [1.0] * 50)
    twice = Dataset(pa.concat_tables([odd.table, odd.table]), odd.label)
    report = validate(ValidatedRows(twice, before=DataReference("t@1", statistics(twice), "y")))
    assert report.findings == ()


def test_labels_that_are_no_feature_say_nothing() -> None:
    assert found("label_leak", data([0, 1] * 100, x=[1, 1, 0, 0] * 50)) == []
    assert found("label_leak", data([0] * 199 + [1], x=[1] * 200)) == []


def by_device(rows: Dataset) -> dict[str, int]:
    assert rows.devices is not None
    names, counts = np.unique(rows.devices.astype(str), return_counts=True)
    return dict(zip(names.tolist(), counts.tolist(), strict=True))


def test_one_device_is_cut_to_its_cap_and_always_the_same_rows_are() -> None:
    X = np.arange(1_000.0)
    devices = ["greedy"] * 700 + [f"d-{i % 30}" for i in range(300)]
    rows = Dataset.of({"x": X}, X, devices=devices)
    kept = capped(rows, 0.2)
    assert by_device(kept.data)["greedy"] == 75  # a fifth of 375
    assert (len(kept), kept.left_out) == (375, {"greedy": 625})
    assert kept.words() == "above their cap, left out: 625 of greedy"
    assert capped(rows, 0.2).data.fingerprint() == kept.data.fingerprint()
    assert len(capped(kept.data, 0.2)) == 375
    few = Dataset.of({"x": X}, X, devices=["a"] * 900 + ["b"] * 100)
    assert capped(few, 0.2).data is few  # two devices: one of them may have it all
    assert [device_cap(n, 0.2) for n in (1, 2, 4, 100)] == [1.0, 1.0, 0.5, 0.2]


def test_one_device_under_many_names_is_cut_like_one() -> None:
    honest, names = 40, 25
    devices = [f"d-{i % honest}" for i in range(400)] + [f"n-{i % names}" for i in range(10_000)]
    X = np.arange(float(len(devices)))
    rows = Dataset.of({"x": X}, X, devices=devices)
    vouchers = {f"n-{i}": "token:1" for i in range(names)}
    kept = capped(rows, 0.2, vouchers)
    counts = by_device(kept.data)
    assert sum(counts.get(name, 0) for name in vouchers) == 100  # a fifth of 500
    assert sum(counts.get(f"d-{i}", 0) for i in range(honest)) == 400
    assert kept.left_out["token:1"] > 0
    # A fleet that joined with one token has one voucher, and is not cut for it.
    assert len(capped(rows, 0.2, dict.fromkeys(devices, "token:1"))) == len(rows)


def test_the_stability_index_of_the_same_distribution_stays_below_what_chance_may_make() -> None:
    random = np.random.default_rng(0)
    p = random.dirichlet(np.ones(32))
    for n, m in ((200, 10_000), (1_000, 1_000), (50_000, 300)):
        for _ in range(300):
            index, chance = stability_index(
                random.multinomial(n, p).tolist(), random.multinomial(m, p).tolist()
            )
            assert index < chance + 0.25


def test_the_page_names_every_threshold_and_check() -> None:
    page = (Path(__file__).parents[3] / "docs" / "DATA.md").read_text()
    names = [field.name for field in fields(ValidationPolicy)]
    assert [name for name in (*names, *CHECKS) if name not in page] == []
    numbers = {f.name: f.default for f in fields(ValidationPolicy) if isinstance(f.default, float)}
    assert [n for n, default in numbers.items() if f"`{n}` {default:g}" not in page] == []
