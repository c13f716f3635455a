"""Access tokens over HTTP: made, listed, revoked; none does more than what it was made with."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from cloud_hub.api.auth import ROOT
from cloud_hub.api.roles import Role
from cloud_hub.errors import HubFault
from cloud_hub.hub import Hub
from cloud_hub.people.records import TokenWish
from tests.clock import Clock
from tests.hub.people.conftest import AddPerson, bearer


def test_a_person_makes_lists_and_revokes_tokens_of_their_own(
    web: TestClient, inner: Hub, add_person: AddPerson
) -> None:
    own, other = bearer(add_person("otto", "operator")), bearer(add_person("anna", "operator"))
    made = web.post("/v1/access-tokens?name=laptop&role=viewer&seconds=60", headers=own).json()
    assert (made["person"], made["role"]) == ("otto", "viewer")
    laptop = bearer(made["token"])
    assert web.get("/v1/session", headers=laptop).json()["role"] == "viewer"
    assert web.post("/v1/enrolment-tokens?model=demo", headers=laptop).status_code == 403
    listed = web.get("/v1/access-tokens", headers=own).json()
    assert [row["name"] for row in listed] == ["laptop", "test"]
    assert not {"token", "digest"} & listed[0].keys()
    assert len(web.get("/v1/access-tokens", headers=other).json()) == 1
    assert web.post(f"/v1/access-tokens/{made['id']}/revoke", headers=other).status_code == 404
    assert web.post(f"/v1/access-tokens/{made['id']}/revoke", headers=own).status_code == 200
    assert web.get("/v1/session", headers=laptop).status_code == 401
    assert web.post(f"/v1/access-tokens/{made['id']}/revoke", headers=own).status_code == 409
    actions = [(entry.actor, entry.action) for entry in inner.audit.entries()[-2:]]
    assert actions == [("otto", "access-token"), ("otto", "revoke-access-token")]


def test_a_token_makes_none_that_is_wider_or_lasts_longer_than_itself(
    web: TestClient, inner: Hub, add_person: AddPerson, clock: Clock
) -> None:
    add_person("paula", "publisher")
    narrow = TokenWish("narrow", "paula", Role.OPERATOR, ("demo",), 60)
    headers = bearer(inner.people.tokens.make(narrow, by=ROOT)[1])
    made = web.post("/v1/access-tokens?name=a&role=publisher", headers=headers).json()
    assert (made["role"], made["models"]) == ("operator", ["demo"])
    assert made["expires_at"] == clock.now + 60
    beyond = web.post("/v1/access-tokens?name=b&model=other", headers=headers)
    assert beyond.status_code == 404
    for_another = web.post("/v1/access-tokens?name=c&of=anna", headers=headers)
    assert for_another.status_code == 403


WRONG: dict[str, tuple[TokenWish, str]] = {
    "of nobody": (TokenWish("x", "nobody"), "no such person"),
    "of the file": (TokenWish("x", "admin"), "edge-hub people add"),
    "more than the person": (TokenWish("x", "vera", Role.OPERATOR), "vera is viewer"),
    "other models": (TokenWish("x", "vera", models=("b",)), "no right on b"),
    "a name that is taken": (TokenWish("test", "vera"), "revoke it first"),
    "of a disabled person": (TokenWish("x", "gone"), "is disabled"),
}


def test_a_token_that_may_not_be_is_refused_with_the_reason(
    inner: Hub, add_person: AddPerson
) -> None:
    add_person("vera", "viewer", "a")
    add_person("gone", "viewer")
    inner.people.disable("gone", reason="left", actor="admin")
    for wish, reason in WRONG.values():
        with pytest.raises(HubFault, match=reason):
            inner.people.tokens.make(wish, by=ROOT)


NAMES = ["", "admin", "Pipeline", "a b", "../x", "x" * 101, "-x", "é", "a\nb", "<b>"]


def test_a_name_that_means_somebody_else_or_is_none_is_refused(web: TestClient, inner: Hub) -> None:
    admin = bearer((inner.settings.data / "admin.token").read_text())
    for name in NAMES:
        made = web.post("/v1/people", params={"name": name, "role": "viewer"}, headers=admin)
        assert made.status_code in (400, 422), name
    assert inner.people.list() == []


def test_administrators_add_change_and_disable_people(web: TestClient, inner: Hub) -> None:
    admin = bearer((inner.settings.data / "admin.token").read_text())
    added = web.post("/v1/people?name=ann@example.com&role=publisher&model=demo", headers=admin)
    assert added.json()["models"] == ["demo"]
    assert web.post("/v1/people?name=ann@example.com&role=viewer", headers=admin).status_code == 409
    changed = web.post("/v1/people/ann@example.com/change?role=viewer", headers=admin).json()
    assert (changed["role"], changed["models"]) == ("viewer", None)
    assert web.post("/v1/people/ann@example.com/disable", headers=admin).status_code == 422
    gone = web.post("/v1/people/ann@example.com/disable?reason=left", headers=admin).json()
    assert gone["reason"] == "left"
    assert web.post("/v1/people/bob/enable", headers=admin).status_code == 404
    assert web.post("/v1/people?name=bob&role=king", headers=admin).status_code == 422
    assert [row["name"] for row in web.get("/v1/people", headers=admin).json()] == [
        "ann@example.com"
    ]
