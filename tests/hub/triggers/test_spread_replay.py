"""A replay that another machine computes: what comes back is the same, and is read as data."""

from __future__ import annotations

import json
import pickle

import pytest

from cloud_hub.database.documents import as_documents
from cloud_hub.engine.local import LocalEngine
from cloud_hub.errors import HubFault
from cloud_hub.policy.schema import (
    BudgetPolicy,
    Condition,
    PerformanceRule,
    TriggerRule,
)
from cloud_hub.triggers.spread_replay import ReplayOrder, replay_history, replayed, replays_from
from tests.hub.triggers.test_conditions import DAY, history

RULES = (
    TriggerRule("drop", Condition(performance=PerformanceRule(0.9))),
    TriggerRule("weekly", Condition(every_seconds=7 * DAY)),
)
ORDER = ReplayOrder(RULES, history(), BudgetPolicy(100), 0.0, 30 * DAY, 3_600.0)
NAMES = ["drop", "weekly"]


def test_what_a_node_finds_has_the_json_of_what_is_found_here() -> None:
    here = replayed(LocalEngine(), ORDER)
    there = replays_from(replay_history(pickle.dumps(ORDER), b""), NAMES)
    assert [len(rule.firings) > 0 for rule in here] == [True, True]
    assert json.dumps(as_documents(there)) == json.dumps(as_documents(here))


WRONG = {
    "nothing": b"",
    "no list": b"7",
    "no rules": b"[{}]",
    "other rules": b"[]",
    "firings that are none": b'[{"trigger": "drop", "firings": 3, "outcomes": {}}]',
}


@pytest.mark.parametrize("case", WRONG)
def test_an_answer_that_is_no_replay_is_one_error(case: str) -> None:
    with pytest.raises(HubFault, match="a task returned"):
        replays_from(WRONG[case], NAMES)
