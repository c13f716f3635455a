"""What happens to versions of a rare day when it is over: every state of a model, as a table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cloud_hub.runs.gate import Check
from cloud_hub.rush.decision import Trial, next_step, wins
from cloud_hub.rush.store import RushMark

MARK = RushMark("m", "1.1", "sale", "2026-11-27", 100.0, 200.0, "1.0", 1, 150.0, None, None, "", ())
RUSH, OTHER = Trial("t", frozenset({"1.1"})), Trial("t", frozenset({"3.0"}))
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "the day is not over": ({"now": 199.0}, "rest"),
    "it serves and the day is over": ({}, "compare"),
    "a hub that was off for days": ({"now": 9e9}, "compare"),
    "the calendar says that the day goes on": ({"open_days": {"sale"}}, "rest"),
    "another day is open": ({"open_days": {"xmas"}}, "compare"),
    "an experiment still tries it": ({"trial": RUSH, "serving": "1.0"}, "stop"),
    "it serves, and an experiment tries another of the day": ({"trial": RUSH}, "stop"),
    "somebody tries something against it": ({"trial": OTHER}, "wait"),
    "it never served": ({"serving": "1.0"}, "close"),
    "its run is about to publish it": ({"serving": "1.0", "busy": True}, "rest"),
    "another version replaced it": ({"serving": "2.0"}, "close"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_next_step(case: str) -> None:
    change, step = CASES[case]
    facts: dict[str, Any] = {
        "serving": "1.1", "trial": None, "open_days": set(), "busy": False, "now": 200.0,
    }  # fmt: skip
    assert next_step([MARK], **(facts | change)).step == step


def test_only_what_is_over_is_closed() -> None:
    later = replace(MARK, version="1.2", day="xmas", end=900.0)
    facts: dict[str, Any] = {"trial": None, "open_days": {"xmas"}, "busy": False, "now": 300.0}
    assert next_step([MARK, later], serving="1.2", **facts).marks == (MARK,)
    assert next_step([], serving="1.2", **facts).step == "rest"


def check(name: str, verdict: str, *, ok: bool = True) -> Check:
    return Check(name, 500, None, None, 0.0, None, ok, verdict=verdict)  # type: ignore[arg-type]


FRESH, HOLDOUT = "fresh", "forgetting"
VERDICTS: dict[str, tuple[list[Check], bool, str]] = {
    "better on both": ([check(FRESH, "passed"), check(HOLDOUT, "passed")], True, "surely better"),
    "better on one, unclear on the other": (
        [check(FRESH, "undecided", ok=False), check(HOLDOUT, "passed")], True, "the holdout",
    ),
    "better on one, worse on the other": (
        [check(FRESH, "passed"), check(HOLDOUT, "worse", ok=False)], False, "surely worse on the h",
    ),
    "a group is worse": (
        [check(FRESH, "passed"), check("group fresh x=1", "worse", ok=False)], False, "group fresh",
    ),
    "as good": ([check(FRESH, "undecided", ok=False)], False, "500 rows of shared rows"),
    "no rows": ([], False, "too few normal rows"),
    "too few rows": ([check(FRESH, "")], False, "too few normal rows"),
    "other columns": ([check("columns", "", ok=False)], False, "surely worse on columns"),
}  # fmt: skip


@pytest.mark.parametrize("case", VERDICTS)
def test_only_what_surely_wins_on_normal_data_stays(case: str) -> None:
    checks, stays, reason = VERDICTS[case]
    won, why = wins(checks)
    assert (won, reason in why) == (stays, True), why
