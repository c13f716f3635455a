"""Tokens of devices, and the audit, as pages show them."""

from __future__ import annotations

import re

from cloud_hub.hub import Hub
from tests.hub.pages.visitor import Visitor, told
from tests.simulated_device import enrolled


def test_an_enrolment_token_is_shown_once_and_revoked(serving: Hub, visitor: Visitor) -> None:
    answer = visitor.send(
        "/people/enrolment", model="demo", uses="3", lasts="7d", attributes="region=eu, line=2"
    )
    assert answer.status == 200
    found = re.search(r'<pre id="made">(enrol_[\w-]+)</pre>', answer.body.decode())
    assert found is not None
    (record,) = serving.fleet.tokens.list()
    assert (record.devices, record.attributes) == (3, {"region": "eu", "line": "2"})
    assert found[1] not in visitor.page("/people")
    assert visitor.send(f"/people/enrolment/{record.id}/revoke").status == 303
    assert serving.fleet.tokens.list() == []


def test_the_audit_is_filtered_and_leads_to_older_entries(serving: Hub, visitor: Visitor) -> None:
    for i in range(150):
        serving.audit.record("ann", "turn", "demo", {"step": i, "nothing": None})
    serving.audit.record("ben", "look", None, {"device": "d1"})
    page = visitor.page("/audit?actor=ann&action=turn&model=demo")
    assert page.count("<tr id=") == 100
    assert "step 149" in told(page)
    older = re.search(r'rel="next" href="([^"]+)"', page)
    assert older is not None
    page = visitor.page(older[1].replace("&amp;", "&"))
    assert page.count("<tr id=") == 50
    assert "step 0" in told(page)
    assert 'href="/devices/d1"' in visitor.page("/audit?actor=ben")
    assert "No entry is like that" in told(visitor.page("/audit?actor=nobody"))


def test_people_are_added_given_tokens_changed_and_disabled(serving: Hub, visitor: Visitor) -> None:
    assert visitor.send("/people/new", name="vera", role="viewer", kind="person").status == 303
    made = visitor.send("/people/access-tokens", name="laptop", of="vera", role="", lasts="1d")
    found = re.search(r'<pre id="made">([^<]+)</pre>', made.body.decode())
    assert found is not None
    vera = Visitor(serving, visitor.app).sign_in(found[1])
    assert "Your access tokens" in told(vera.page("/people"))
    assert "Add a person" not in told(vera.page("/people"))
    for url in ("/people/new", "/people/enrolment", "/people/vera/disable"):
        assert "needs the role" in told(vera.page(url, 403))
    changed = visitor.send("/people/vera/role", role="operator", models="")
    assert changed.headers["location"] == "/people"
    assert "vera is operator now." in told(visitor.page("/people"))
    # Her token was made for a viewer, and gives no more.
    assert "needs the role" in told(vera.page("/people/enrolment", 403))
    assert visitor.send("/people/vera/disable", reason="left").status == 303
    assert vera.ask("/fleet").status == 303
    assert "disabled left" in told(visitor.page("/people"))


def test_who_has_rights_on_one_model_sees_nothing_of_another(
    serving: Hub, visitor: Visitor
) -> None:
    for model in ("demo", "other"):
        serving.audit.record("ann", "turn", model, {"about": model})
    token = serving.fleet.new_token("demo", uses=1, seconds=60, actor="ann")
    device = enrolled(serving, token)
    visitor.send("/people/new", name="olga", role="operator", kind="person", models="other")
    made = visitor.send("/people/access-tokens", name="x", of="olga", role="", lasts="1d")
    found = re.search(r'<pre id="made">([^<]+)</pre>', made.body.decode())
    assert found is not None
    olga = Visitor(serving, visitor.app).sign_in(found[1])
    for url in ("/", "/fleet", "/audit", "/people"):
        page = told(olga.page(url))
        assert "demo" not in page, url
        assert device not in page
    assert "about other" in told(olga.page("/audit"))
    assert olga.ask(f"/devices/{device}").status == 404
    assert olga.ask(f"/devices/{device}/revoke").status == 404


def test_an_alarm_is_shown_and_acknowledged_by_name(serving: Hub, visitor: Visitor) -> None:
    serving.monitoring.raise_alarm("demo", "1.0", "drift:<i>", {"psi": 0.4}, 1_000.0)
    page = visitor.page("/")
    assert "Open alarms" in told(page)
    assert "<i>" not in page
    answer = visitor.send_to("/", "/alarms/acknowledge", key="monitor:demo:drift:<i>")
    assert answer.headers["location"] == "/"
    assert serving.monitoring.alarms("demo") == []
    assert serving.audit.entries(actor="admin")[-1].model == "demo"
