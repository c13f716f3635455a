"""Every route says whom it lets in, and lets in nobody else."""

from __future__ import annotations

import re

import pytest
from fastapi.testclient import TestClient

from cloud_hub.api.declared import EXTENSION, declared, routes_of
from cloud_hub.api.roles import Person, Role, least
from cloud_hub.hub import Hub
from tests.edge.builders import make_release
from tests.hub.people.conftest import AddPerson, bearer

WHO = {role.word for role in Role} | {"device", "device or viewer", "anybody"}
CHANGES = ("POST", "PUT", "PATCH", "DELETE")


def asked(web: TestClient) -> list[tuple[str, str, str]]:
    """Method, path and whom it lets in, of every route that the description names."""
    paths = web.app.openapi()["paths"]  # type: ignore[attr-defined]
    return [
        (method.upper(), path, about.get(EXTENSION, "nobody says"))
        for path, methods in paths.items()
        for method, about in methods.items()
    ]


def concrete(path: str) -> str:
    return re.sub(r"\{[^}]+\}", lambda found: "demo" if "model" in found[0] else "1", path)


def test_every_route_declares_whom_it_lets_in(web: TestClient) -> None:
    hidden = {route.path: declared(route) for route in routes_of(web.app)}
    assert {path for path, who in hidden.items() if who not in WHO} == set()
    assert [route for route in asked(web) if route[2] not in WHO] == []
    assert len(asked(web)) > 100


def test_nobody_gets_in_without_a_token_but_where_anybody_may(web: TestClient) -> None:
    for method, path, who in asked(web):
        if who != "anybody":
            answer = web.request(method, concrete(path))
            assert answer.status_code == 401, (method, path, answer.text)


def test_a_viewer_changes_nothing_and_is_told_which_role_it_takes(
    web: TestClient, serving: Hub, add_person: AddPerson
) -> None:
    headers = bearer(add_person("vera", "viewer"))
    before = len(serving.audit.entries(limit=10_000))
    for method, path, who in asked(web):
        if who in ("operator", "publisher", "administrator"):
            answer = web.request(method, concrete(path), headers=headers)
            assert answer.status_code == 403, (method, path, answer.text)
            expected = f"needs the role {who}, and vera is viewer here"
            assert method == "HEAD" or expected in answer.json()["error"]
    assert len(serving.audit.entries(limit=10_000)) == before
    # What changes something is not for viewers, but for what looks like it and their own tokens.
    open_to_viewers = {p for m, p, who in asked(web) if m in CHANGES and who == "viewer"}
    assert open_to_viewers == {
        "/v1/models/{model}/experiments/plan", "/v1/models/{model}/triggers/dry-run",
        "/v1/models/{model}/features/skew", "/v1/access-tokens", "/v1/access-tokens/{id_}/revoke",
    }  # fmt: skip


def test_each_role_may_what_those_below_may(
    serving: Hub, web: TestClient, add_person: AddPerson
) -> None:
    tokens = {role: add_person(f"a-{role.word}", role.word) for role in Role}
    allowed = dict.fromkeys(Role, 0)
    for method, path, who in asked(web):
        if method != "GET" or who not in {role.word for role in Role}:
            continue
        for role, token in tokens.items():
            refused = web.request(method, concrete(path), headers=bearer(token)).status_code == 403
            assert refused == (role < Role.of(who)), (path, role)
            allowed[role] += not refused
    assert list(allowed.values()) == sorted(allowed.values())


def test_a_token_for_one_model_reaches_nothing_of_another(
    web: TestClient, serving: Hub, add_person: AddPerson, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = make_release(tmp_path_factory.mktemp("other") / "made", model="other")
    serving.registry.publish(other, actor="test")
    headers = bearer(add_person("oda", "administrator", "other"))
    for method, path, who in asked(web):
        if who in ("anybody", "device", "device or viewer"):
            continue
        answer = web.request(method, concrete(path), headers=headers)
        if "{model}" in path:
            assert answer.status_code == 404, (method, path, answer.text)
            assert "no such model among those of oda: other" in answer.json()["error"]
        elif answer.status_code < 400:
            assert "demo" not in answer.text or path == "/v1/releases", (method, path, answer.text)
    assert [row["model"] for row in web.get("/v1/models", headers=headers).json()] == ["other"]
    # Nobody is an administrator of people by being one of a model.
    assert web.get("/v1/people", headers=headers).status_code == 403
    assert web.get("/v1/models/other/versions", headers=headers).status_code == 200


def test_the_audit_names_the_person(web: TestClient, serving: Hub, add_person: AddPerson) -> None:
    token = add_person("otto", "operator")
    assert web.post("/v1/models/demo/promote?version=1.0", headers=bearer(token)).status_code == 200
    made = web.post("/v1/enrolment-tokens?model=demo", headers=bearer(token))
    assert made.status_code == 200
    assert serving.audit.entries("demo")[-1].actor == "otto"


def test_rights_are_the_least_of_person_and_token() -> None:
    assert least(None, None) is None
    assert least(None, ["a"]) == least(["a"], None) == {"a"}
    assert least(["a", "b"], ["b", "c"]) == {"b"}
    everywhere, of_a = Person("x", Role.OPERATOR), Person("x", Role.OPERATOR, frozenset("a"))
    assert everywhere.sees(None)
    assert everywhere.may(Role.VIEWER, "b")
    assert not of_a.sees(None)
    assert not of_a.may(Role.VIEWER, "b")
    assert of_a.may(Role.OPERATOR, "a")
    assert not everywhere.may(Role.PUBLISHER)
