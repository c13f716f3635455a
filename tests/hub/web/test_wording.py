"""What figures and signals are called on pages, and how numbers are written."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from types import ModuleType
from typing import get_args

import pytest

from cloud_hub.data.validation.report import DataCheck
from cloud_hub.monitoring import figures
from cloud_hub.pages.models.evidence import pairs_of
from cloud_hub.policy.schema.validation import ValidationPolicy
from cloud_hub.triggers import evidence
from cloud_hub.web.numbers import byte_text, number_text, p_text, share_text, span_text
from cloud_hub.web.wording import (
    CHECKS,
    WORDS,
    change_text,
    check_name,
    figure,
    signal_name,
    value_text,
)

OF_CERTIFICATES = ("label_flips", "flips_bound", "max_difference", "score", "score_bound")
OF_STEPS = ("seconds", "cpu_seconds", "peak_mb", "worker_peak_mb", "probe_p99_us", "golden_rows")
SHOWN_OTHERWISE = {
    "waits_for", "shares_changed", "mean_before", "mean_after",
}  # fmt: skip
"""Names that a page puts into words of its own."""


def names_in(module: ModuleType) -> Iterator[str]:
    for _, kind in inspect.getmembers(module, is_dataclass):
        yield from (field.name for field in fields(kind))


def test_no_figure_is_told_by_a_name_of_code() -> None:
    recorded = [*names_in(evidence), *names_in(figures), *OF_CERTIFICATES, *OF_STEPS]
    recorded += [field.name for field in fields(ValidationPolicy)]
    raw = {name for name in recorded if "_" in name}
    assert raw - set(WORDS) - SHOWN_OTHERWISE == set()
    assert not [words.label for words in WORDS.values() if "_" in words.label]


def test_every_check_of_data_has_a_name_for_people() -> None:
    (names,) = [field.type for field in fields(DataCheck) if field.name == "check"]
    assert names == "CheckName"
    from cloud_hub.policy.schema.validation import CheckName

    assert set(get_args(CheckName)) <= set(CHECKS)
    assert check_name("group:sex=f") == "Group: sex=f"


FIGURES = {
    ("flips_bound", 0.0655): ("labels that differ, at most", "6.55%"),
    ("accuracy", 1.0): ("accuracy", "100%"),
    ("validation.max_missing", 0.5): ("missing values at most", "50.00%"),
    ("probe_p99_us", 3.443): ("99% of rows within", "3.44 µs"),
    ("worker_peak_mb", 466.0): ("memory of its process", "466 MB"),
    ("wait_seconds", 86_400.0): ("waits at most", "24 h"),
    ("due", "2026-12-31T04:38:46+00:00"): ("due", "2026-12-31 04:38 UTC"),
    ("p", 4.4e-22): ("p", "< 0.0001"),
    ("my_own_metric", 0.5): ("my own metric", "0.5"),
    ("holds", True): ("holds", "yes"),
    ("accuracy", None): ("accuracy", "–"),
}  # fmt: skip


@pytest.mark.parametrize("case", FIGURES)
def test_a_figure_is_told_by_its_words_and_unit(case: tuple[str, object]) -> None:
    assert figure(*case)[:2] == FIGURES[case]


def test_what_a_figure_is_of_says_what_it_is_called() -> None:
    assert figure("low", 0.93, "estimate").text == "93.00%"
    assert figure("low", 0.93).text == "0.93"
    assert figure("worst", "eu", "fairness").label == "worst"


SIGNALS = {
    "drift:age": "Drift of age",
    "domain:age:outside": "age outside of what training saw",
    "domain:low confidence": "Answers with low confidence",
    "concept:mae": "Growing mean error",
    "estimate:accuracy": "Estimated accuracy",
    "fairness:region": "Unlike accuracy by region",
    "refused:1.2": "Release 1.2 refused by devices",
    "of a newer hub": "of a newer hub",
}


@pytest.mark.parametrize("signal", SIGNALS)
def test_a_signal_is_told_in_words(signal: str) -> None:
    assert signal_name(signal) == SIGNALS[signal]


def test_changes_have_signs_and_shares_change_by_points() -> None:
    assert change_text(-0.45, "share") == "-45 pp"
    assert change_text(0.0502, "share") == "+5.02 pp"
    assert change_text(-68) == "-68"
    assert change_text(1e-16, "share") == "0 pp"
    assert change_text(None) == "–"


def test_numbers_are_written_for_people() -> None:
    assert [number_text(n) for n in (None, 0, 12_345, 0.45588, -2.2e-16, 3.36e34)] == [
        "–", "0", "12,345", "0.4559", "0", "3.4e+34",
    ]  # fmt: skip
    assert [share_text(n) for n in (0, 1, 0.95, 0.00003)] == ["0%", "100%", "95.00%", "0.003%"]
    assert [p_text(n) for n in (None, 1.0, 0.0123, 9e-5)] == ["–", "1", "0.012", "< 0.0001"]
    assert [byte_text(n) for n in (309, 3.2e9, 5e12)] == ["309 B", "3.2 GB", "5 TB"]
    spans = (0, 3e-6, 0.25, 59.0, 100.0, 7_200.0, 2_592_000.0, 6.3e8)
    assert [span_text(n) for n in spans] == [
        "0 s", "3 µs", "250 ms", "59 s", "100 s", "2 h", "30 d", "20 y",
    ]  # fmt: skip
    assert value_text(3.0, "cores") == "3 core-s"


def test_evidence_within_evidence_is_one_sentence() -> None:
    worst = {"signal": "drift:f1", "raised": "2023-11-14T22:21:31+00:00", "p": 0.0005}
    shown = {each.label: each.text for each in pairs_of({"alarms": 1, "worst": [worst]})}
    assert shown == {
        "open alarms": "1",
        "strongest": "Drift of f1: raised 2023-11-14 22:21 UTC, p 0.0005",
    }
