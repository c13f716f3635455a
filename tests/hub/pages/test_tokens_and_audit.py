"""Tokens of devices, and the audit, as pages show them."""

from __future__ import annotations

import re

from cloud_hub.hub import Hub
from tests.hub.pages.visitor import Visitor, told


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
