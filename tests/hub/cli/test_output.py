"""What the commands print: tables that fit, JSON, local times, quantiles of latency."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from cloud_hub.cli.experiment_text import status_text
from cloud_hub.cli.fleet import SCREEN, _telemetry_view
from cloud_hub.cli.shared.output import (
    Result,
    TextTable,
    cell,
    local_time,
    plural,
    progress,
    rendered,
    short,
)

ROWS = [("2026-11-29T12:30:00+00:00", "a" * 30, 1_234_567, "word " * 40)] * 3
COLUMNS = ("time", "name", "count", "detail")


@pytest.mark.parametrize("width", [20, 80, 100, 120, 400])
def test_a_table_fits_and_loses_nothing(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    text = rendered(TextTable(COLUMNS, ROWS))
    assert max(map(len, text.splitlines())) <= min(120, max(80, width))
    assert text.replace("\n", " ").count("word") == 120
    assert "1,234,567" in text


def test_a_table_without_rows_is_a_sentence() -> None:
    assert rendered(TextTable(COLUMNS, [], empty="no devices")) == "no devices"
    assert rendered(TextTable(COLUMNS, [], "firings", "none")) == "firings: none"


def test_cells_are_for_people() -> None:
    values: list[tuple[Any, str]] = [
        (None, "-"), ("", "-"), (True, "yes"), (12_345, "12,345"), (0.123456, "0.1235"),
        ({"a": 1, "b": None, "c": 0.5}, "a=1 c=0.5"), ([1, 2], "1, 2"), ({}, "-"),
    ]  # fmt: skip
    assert [cell(value) for value, _ in values] == [text for _, text in values]
    assert short("b" * 64) == "b" * 12
    assert short({"x": [1, 2]}) == "x:1,2"
    assert (plural(1, "alarm"), plural(2, "entity", "entities")) == ("1 alarm", "2 entities")


def test_a_time_is_local_iso(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        assert local_time(1_795_955_400.0) == "2026-11-29T13:30:00+01:00"
        assert local_time(None) == "-"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_json_has_all_of_the_data(capsys: pytest.CaptureFixture[str]) -> None:
    data = {"at": 1.5, "rows": [1, 2]}
    Result(data, lambda d: f"{len(d['rows'])} rows").show(as_json=True)
    assert json.loads(capsys.readouterr().out) == data
    Result(data, lambda d: f"{len(d['rows'])} rows").show(as_json=False)
    assert capsys.readouterr().out == "2 rows\n"


def test_progress_is_for_terminals_only(capsys: pytest.CaptureFixture[str]) -> None:
    progress("a step")
    assert capsys.readouterr().err == ""


def test_telemetry_fits_on_a_screen() -> None:
    window = {
        "start": 0, "version": "1.0", "arm": "control", "devices": 3,
        "predictions": {"model": 8, "pack": 2}, "errors": {}, "own_labelled": 4, "own_correct": 3,
        "measured": 4, "mae": 0.12345, "stale": 1, "defaulted": 0,
        "latency": {"model": [0] * 64}, "latency_us": {"p50": 2.0, "p95": 4.0, "p99": 8.0},
    }  # fmt: skip
    events = [{"version": "1.1", "outcome": "activated"}] * 40
    report = {"windows": [window] * 300, "events": events, "devices": {"d-1": 7, "d-2": 8}}
    table, *lines = _telemetry_view(report, SCREEN)
    assert isinstance(table, TextTable)
    assert len(table.rows) == SCREEN
    assert tuple(table.rows[0][2:8]) == ("control", 3, 10, 0, "75.0%", "0.1235")
    assert tuple(table.rows[0][8:]) == (0.002, 0.004, 0.008)
    assert lines == [
        "the newest 15 of 300 windows; --limit shows more",
        "2 devices, 15 predictions ever",
        "stored features, 3,000 predictions: stale in 300 of them (10.0%), not there in 0 of them "
        "(0.0%)",
        "1.1 activated: 40 times",
    ]


def test_guardrails_that_do_not_trip_read_as_quiet() -> None:
    reason = "candidate has more errors: 0 of 50 against 0 of 50, e-value 1 >= 100"
    guard = {"name": "errors", "arm": "candidate", "trips": False, "reason": reason}
    record = {
        "id": "m-canary-1", "status": "running", "strategy": "canary", "candidate": "1.1",
        "control": "1.0", "now": "20% of everybody", "reason": "soaking", "spec": {"arms": []},
        "state": {}, "figures": {"guardrails": [guard, {**guard, "name": "wrong labels"}]},
    }  # fmt: skip
    assert status_text(record).splitlines()[1:] == ["  guardrails quiet: errors, wrong labels"]
    record["figures"] = {"guardrails": [{**guard, "trips": True}]}
    assert status_text(record).splitlines()[1:] == [f"  guardrail errors trips: {reason}"]
