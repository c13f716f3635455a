"""Tokens of applications that ask models: known for a second, and void within it."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event

from cloud_hub.api.auth import ROOT
from cloud_hub.api.roles import Person, Role
from cloud_hub.hub import Hub
from cloud_hub.people.recent_tokens import SECONDS, RecentTokens
from cloud_hub.people.service import People
from tests.clock import Clock
from tests.hub.people.conftest import AddPerson, bearer

PERSON = Person("shop", Role.CALLER, token="a", until=100.0)
ASKED = "/v2/models/demo/infer"


@pytest.fixture
def ticks(inner: Hub) -> Clock:
    """The monotonic clock by which tokens are known."""
    ticks = inner.people.tokens.seen._clock = Clock(10.0)  # type: ignore[assignment]
    return ticks


@pytest.fixture
def lookups(inner: Hub) -> list[str]:
    """Statements that ask the database for access tokens, as they come."""
    found: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        if "access_tokens" in statement and statement.startswith("SELECT"):
            found.append(statement)

    event.listen(inner.engine, "before_cursor_execute", note)
    return found


def other_process(hub: Hub, clock: Clock) -> People:
    """Return the people of the hub as another of its processes has them."""
    return People(hub.settings, hub.engine, hub.audit, clock)


def test_a_token_that_asks_again_within_a_second_is_not_looked_up(
    web: TestClient, add_person: AddPerson, ticks: Clock, lookups: list[str]
) -> None:
    shop = bearer(add_person("shop", "caller"))
    for _ in range(5):
        assert web.post(ASKED, headers=shop).status_code == 404  # let in: there is no such model
    assert len(lookups) == 1 + 1  # one of making the token
    ticks.now += SECONDS
    assert web.post(ASKED, headers=shop).status_code == 404
    assert len(lookups) == 1 + 2


def test_a_token_that_another_process_revoked_lets_nobody_in_a_second_later(
    web: TestClient, inner: Hub, add_person: AddPerson, clock: Clock, ticks: Clock
) -> None:
    shop = bearer(add_person("shop", "caller"))
    assert web.post(ASKED, headers=shop).status_code == 404
    other = other_process(inner, clock)
    other.tokens.revoke(other.tokens.list("shop")[0].id, by=ROOT)
    ticks.now += SECONDS
    assert web.post(ASKED, headers=shop).status_code == 401


def test_a_role_that_another_process_took_away_is_gone_a_second_later(
    web: TestClient, inner: Hub, add_person: AddPerson, clock: Clock, ticks: Clock
) -> None:
    shop = bearer(add_person("shop", "caller", "demo"))
    assert "no version" in web.post(ASKED, headers=shop).json()["error"]
    other_process(inner, clock).change("shop", Role.CALLER, ("other",), actor="admin")
    ticks.now += SECONDS
    assert "among those of shop" in web.post(ASKED, headers=shop).json()["error"]


@pytest.mark.parametrize("change", ["revoke", "disable", "change"])
def test_what_this_process_changes_it_obeys_at_once(
    web: TestClient, inner: Hub, add_person: AddPerson, ticks: Clock, change: str
) -> None:
    shop, people = bearer(add_person("shop", "caller")), inner.people
    assert web.post(ASKED, headers=shop).status_code == 404
    if change == "revoke":
        people.tokens.revoke(people.tokens.list("shop")[0].id, by=ROOT)
    elif change == "disable":
        people.disable("shop", reason="left", actor="admin")
    else:
        people.change("shop", Role.CALLER, ("other",), actor="admin")
    answer = web.post(ASKED, headers=shop)
    assert answer.status_code == (404 if change == "change" else 401)
    assert change != "change" or "among those of shop" in answer.json()["error"]


def test_a_token_that_expires_while_it_is_known_lets_nobody_in(
    web: TestClient, add_person: AddPerson, clock: Clock, ticks: Clock
) -> None:
    shop = bearer(add_person("shop", "caller", seconds=60))
    assert web.post(ASKED, headers=shop).status_code == 404
    clock.now += 60
    assert web.post(ASKED, headers=shop).status_code == 401


def test_a_known_token_without_a_right_on_the_model_finds_none_of_that_name(
    web: TestClient, add_person: AddPerson, ticks: Clock, lookups: list[str]
) -> None:
    shop = bearer(add_person("shop", "caller", "mine"))
    answers = [web.post(ASKED, headers=shop).json() for _ in range(2)]
    assert answers[0] == answers[1]
    assert "among those of shop" in answers[0]["error"]
    assert len(lookups) == 2


def test_what_was_read_before_a_change_is_not_remembered_after_it() -> None:
    seen = RecentTokens(Clock(0.0))
    changes = seen.changes
    seen.clear()
    seen.learn("digest", PERSON, changes)
    assert seen.get("digest", now=1.0) is None


def test_of_more_tokens_than_there_is_room_for_the_oldest_are_looked_up_again() -> None:
    seen = RecentTokens(Clock(0.0), most=2)
    for name in "abac":
        seen.learn(name, PERSON, seen.changes)
    assert [name for name in "abc" if seen.get(name, now=1.0) is not None] == ["a", "c"]
    assert len(seen) == 2
