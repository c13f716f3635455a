"""Where a policy asks for it, nobody promotes alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from cloud_hub.hub import Hub
from tests.clock import Clock
from tests.edge.builders import make_release
from tests.hub.people.conftest import AddPerson, bearer

ASKS = "approvals: {promote: true, expires: 1h}\n"
PROMOTE = "/v1/models/demo/promote?version=1.1&reason=better"


@pytest.fixture
def asking(serving: Hub, tmp_path: Path, clock: Clock) -> Hub:
    """A hub whose model serves 1.0, has 1.1, and asks for two people."""
    serving.registry.publish(make_release(tmp_path / "next", version="1.1"), actor="test")
    serving.policies.apply("demo", ASKS, actor="test")
    serving.approvals._clock = clock
    return serving


def serves(hub: Hub) -> str:
    plan = hub.plans.current("demo")
    assert plan is not None
    return plan.serving.version


def test_a_promotion_waits_for_another_person_and_the_audit_names_both(
    web: TestClient, asking: Hub, add_person: AddPerson
) -> None:
    olga, otto = bearer(add_person("olga", "operator")), bearer(add_person("otto", "operator"))
    asked = web.post(PROMOTE, headers=olga)
    assert (asked.status_code, asked.json()["approval"]["state"]) == (202, "pending")
    number = asked.json()["approval"]["id"]
    assert serves(asking) == "1.0"
    assert web.post(PROMOTE, headers=olga).json()["approval"]["id"] == number
    assert "olga asked for it already" in web.post(PROMOTE, headers=otto).json()["error"]
    own = web.post(f"/v1/approvals/{number}/approve", headers=olga)
    assert (own.status_code, "somebody else approves" in own.text) == (403, True)
    admin = bearer((asking.settings.data / "admin.token").read_text())
    vera, ci = bearer(add_person("vera", "viewer")), add_person("ci", "operator", kind="service")
    of_other = bearer(add_person("odo", "operator", "other"))
    for headers, status in ((admin, 403), (vera, 403), (bearer(ci), 403), (of_other, 404)):
        assert web.post(f"/v1/approvals/{number}/approve", headers=headers).status_code == status
    assert web.get("/v1/approvals", headers=of_other).json() == []
    assert serves(asking) == "1.0"
    done = web.post(f"/v1/approvals/{number}/approve", headers=otto)
    assert (done.json()["state"], done.json()["decided_by"]) == ("approved", "otto")
    assert serves(asking) == "1.1"
    noted = {(entry.actor, entry.action) for entry in asking.audit.entries("demo")}
    assert {("olga", "request-promotion"), ("otto", "approve-promotion"), ("olga", "plan")} <= noted
    assert web.post(f"/v1/approvals/{number}/approve", headers=otto).status_code == 409
    # The way back waits for nobody.
    assert web.post("/v1/models/demo/rollback", headers=otto).status_code == 200
    assert serves(asking) == "1.0"


def test_what_is_approved_too_late_or_over_another_plan_comes_to_nothing(
    web: TestClient, asking: Hub, add_person: AddPerson, clock: Clock
) -> None:
    olga, otto = bearer(add_person("olga", "operator")), bearer(add_person("otto", "operator"))

    def ask() -> int:
        return int(web.post(PROMOTE, headers=olga).json()["approval"]["id"])

    def approve(number: int) -> str:
        answer = web.post(f"/v1/approvals/{number}/approve", headers=otto)
        assert answer.status_code == 409
        return str(answer.json()["error"])

    stale = ask()
    asking.plans.change("demo", lambda plan: plan, actor="test", reason="anew")
    assert "changed since it was asked for" in approve(stale)
    assert asking.approvals.get(stale).state == "pending"  # nothing half done
    withdrawn = web.post(f"/v1/approvals/{stale}/refuse?reason=old", headers=olga).json()
    assert withdrawn["state"] == "withdrawn"
    refused = ask()
    assert web.post(f"/v1/approvals/{refused}/refuse?reason=no", headers=otto).status_code == 200
    assert "is refused" in approve(refused)
    late = ask()
    clock.now += 3_600
    assert "is expired" in approve(late)
    assert serves(asking) == "1.0"


def test_who_is_no_person_asks_for_nothing_that_takes_two(
    web: TestClient, asking: Hub, add_person: AddPerson
) -> None:
    admin = (asking.settings.data / "admin.token").read_text()
    for token in (admin, add_person("ci", "operator", kind="service")):
        answer = web.post(PROMOTE, headers=bearer(token))
        assert (answer.status_code, "two people have to decide" in answer.text) == (403, True)
    assert asking.approvals.list() == []


def test_only_an_administrator_drops_the_second_person_from_a_policy(
    web: TestClient, asking: Hub, add_person: AddPerson
) -> None:
    paula = bearer(add_person("paula", "publisher"))
    ada = bearer(add_person("ada", "administrator"))
    path = "/v1/models/demo/policy"
    assert web.put(path, content=ASKS + "providers: []\n", headers=paula).status_code == 200
    for text in ("", "approvals: {promote: false}\n"):
        refused = web.put(path, content=text, headers=paula)
        assert (refused.status_code, "approvals.promote" in refused.text) == (403, True)
    assert web.put(path, content="", headers=ada).status_code == 200
    assert web.post(PROMOTE, headers=paula).status_code == 200
    assert serves(asking) == "1.1"


def test_nobody_brings_an_experiment_along_that_promotes_by_itself(
    web: TestClient, asking: Hub, add_person: AddPerson
) -> None:
    olga = bearer(add_person("olga", "operator"))
    spec = "model: demo\nstrategy: canary\ncandidate: '1.1'\n"
    path = "/v1/models/demo/experiments"
    refused = web.post(path, content=spec, headers=olga)
    assert (refused.status_code, "approval: true" in refused.text) == (409, True), refused.text
    started = web.post(path, content=spec + "approval: true\n", headers=olga)
    assert started.status_code == 200, started.text


def test_an_arm_of_an_experiment_is_promoted_by_two(
    web: TestClient, asking: Hub, add_person: AddPerson
) -> None:
    olga, otto = bearer(add_person("olga", "operator")), bearer(add_person("otto", "operator"))
    canary = web.post("/v1/models/demo/canary?version=1.1", headers=olga).json()["id"]
    asked = web.post(f"/v1/experiments/{canary}/promote", headers=olga)
    assert asked.status_code == 202
    assert serves(asking) == "1.0"
    number = asked.json()["approval"]["id"]
    assert web.post(f"/v1/approvals/{number}/approve", headers=otto).status_code == 200
    assert serves(asking) == "1.1"
