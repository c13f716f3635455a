"""What who may see and do on the pages of a model, and promotions by two people."""

from __future__ import annotations

from dataclasses import replace

from cloud_hub.api.auth import ROOT
from cloud_hub.api.roles import Role
from cloud_hub.hub import Hub
from cloud_hub.people.records import TokenWish
from tests.hub.model_pages.conftest import Reader, words

POSTS = ("promote", "rollback", "try/canary", "monitoring/acknowledge", "triggers/fire", "runs/new")


def somebody(reader: Reader, hub: Hub, name: str, role: Role, *models: str) -> Reader:
    hub.people.add(name, role, actor="test", models=models or None)
    token = hub.people.tokens.make(TokenWish("page", name, seconds=3_600), by=ROOT)[1]
    return replace(reader, token=token)


def test_a_viewer_sees_all_and_changes_nothing(tried: Hub, reader: Reader) -> None:
    vera = somebody(reader, tried, "vera", Role.VIEWER)
    page = vera.get("/models/demo")
    assert "Promote…" in reader.get("/models/demo")
    assert "Promote…" not in page
    assert "Roll back…" not in page
    for path in POSTS:
        said = words(vera.post(f"/models/demo/{path}", 403, serial="1", version="1.1", reason="x"))
        assert "needs the role operator" in said
    vera.get("/models/demo/promote?version=1.1", 403)
    plan = tried.plans.current("demo")
    assert plan is not None
    assert plan.serial == 1


def test_somebody_of_another_model_finds_none_of_this_one(tried: Hub, reader: Reader) -> None:
    tried.registry.ensure_model("other")
    id_ = tried.experiments.canary("demo", "1.1", actor="test").id
    odo = somebody(reader, tried, "odo", Role.OPERATOR, "other")
    assert "demo" not in words(odo.get("/models"))
    odo.get("/models/other")
    odo.get("/models/demo", 404)
    odo.get(f"/models/demo/experiments/{id_}", 404)
    odo.get(f"/models/other/experiments/{id_}", 404)
    odo.post(f"/models/other/experiments/{id_}/stop", 404, serial="2", reason="x")
    odo.post("/models/demo/rollback", 404, serial="2", reason="x")
    assert tried.experiments.get(id_).status == "running"


def test_a_promotion_waits_on_the_page_for_another_person(tried: Hub, reader: Reader) -> None:
    tried.policies.apply("demo", "approvals: {promote: true, expires: 1h}", actor="test")
    olga = somebody(reader, tried, "olga", Role.OPERATOR)
    otto = somebody(reader, tried, "otto", Role.OPERATOR)
    olga.confirm("/models/demo/promote?version=1.1", reason="better")
    (asked,) = tried.approvals.list("demo")
    assert asked.state == "pending"
    assert "Withdraw…" in olga.get("/models/demo")
    assert "olga asked" in words(otto.get("/models/demo"))
    olga.post(f"/models/demo/approvals/{asked.id}/approve", 403)
    otto.confirm(f"/models/demo/approvals/{asked.id}/approve")
    plan = tried.plans.current("demo")
    assert plan is not None
    assert plan.serving.version == "1.1"
    assert "for everybody" not in words(otto.get("/models/demo"))
