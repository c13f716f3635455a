"""The trouble of one model does not keep the others waiting."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from sqlalchemy import update

from cloud_hub.hub import Hub
from cloud_hub.registry.per_model import ModelTurns, for_each
from cloud_hub.registry.tables import models
from tests.edge.builders import make_release


def test_all_have_their_turn_and_those_that_failed_are_named() -> None:
    done = []

    def work(name: str) -> None:
        done.append(name)
        if name in "bd":
            raise ValueError(f"no {name}")

    with pytest.raises(ExceptionGroup, match="b: no b; d: no d") as raised:
        for_each("abcde", work)
    assert done == list("abcde")
    assert len(raised.value.exceptions) == 2


def test_what_a_turn_has_no_time_for_comes_first_in_the_next_one() -> None:
    used, done = iter(range(100)), list[str]()
    turns = ModelTurns(2.5, lambda: float(next(used)))
    for _ in range(4):
        turns.for_each("abcde", done.append)
    # Each look at the clock takes a second, so there is time for two in a turn.
    assert "".join(done) == "ab" + "cd" + "ea" + "bc"


def test_a_turn_goes_on_without_what_has_gone_meanwhile_and_after_a_failure() -> None:
    used, done = iter(range(100)), list[str]()
    turns = ModelTurns(1.5, lambda: float(next(used)))

    def work(name: str) -> None:
        done.append(name)
        raise ValueError(name)

    with pytest.raises(ExceptionGroup):
        turns.for_each("abc", work)
    with pytest.raises(ExceptionGroup):
        turns.for_each("ac", work)  # the turn was to begin at b
    assert done == ["a", "a"]


def test_a_policy_that_cannot_be_read_any_more_stops_the_loop_for_no_other_model(
    serving: Hub, tmp_path: Path
) -> None:
    serving.registry.publish(make_release(tmp_path / "a", "another"), actor="test")
    serving.plans.promote("another", "1.0", actor="test", reason="first")
    with serving.engine.begin() as db:
        db.execute(update(models).where(models.c.model == "another").values(policy="packs: 7"))
    policy = (
        "triggers: [{name: often, when: {every: 1s}, cooldown: 0s}]\n"
        "train: {entry: 'os:getcwd'}\n"
        "sharing: {samples: true, per_window: 5}\n"
    )
    serving.registry.set_policy("demo", policy, "test")
    serving.loop.tick(time.time() + 60)
    assert [firing.model for firing in serving.triggers.firings()] == ["demo"]
    assert "another" in serving.loop.errors["triggers"]
    assert "another" in serving.loop.errors["packs"]
