"""The fleet and its devices, as pages show them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from sqlalchemy import insert, update

from cloud_hub.fleet.tables import devices, identities
from cloud_hub.hub import Hub
from cloud_hub.telemetry.tables import events, reports
from tests.hub.pages.visitor import Visitor, told
from tests.simulated_device import enrolled

HOSTILE = "<script>alert(1)</script>"


def joined(hub: Hub, **attributes: str) -> str:
    token = hub.fleet.new_token("demo", uses=1, seconds=60, actor="ann")
    return enrolled(hub, token, attributes=attributes)


def test_an_empty_hub_says_what_to_do_first(inner: Hub) -> None:
    visitor = Visitor(inner).sign_in()
    assert "publish the first" in told(visitor.page("/"))
    assert "edge-hub publish RELEASE --key" in told(visitor.page("/publishing"))
    assert "No device has joined yet" in told(visitor.page("/fleet"))
    assert "None yet" in told(visitor.page("/people"))


def test_names_from_outside_are_text_and_nothing_else(serving: Hub, visitor: Visitor) -> None:
    device = joined(serving, region=HOSTILE)
    values = {"version": HOSTILE, "software": {HOSTILE: HOSTILE}, "phase": HOSTILE}
    with serving.engine.begin() as db:
        db.execute(update(devices).values(**values))
        db.execute(
            insert(events).values(
                device=device, model="demo", version="1.0", outcome="failed", step="probe",
                reason=HOSTILE, at=1,
            )
        )  # fmt: skip
    serving.audit.record(HOSTILE, HOSTILE, "demo", {HOSTILE: [HOSTILE, {"a": HOSTILE}]})
    query = "/fleet?q=%3Cscript%3Ealert(1)%3C%2Fscript%3E&by=%3Cscript%3E"
    for url in ("/", "/fleet", query, f"/devices/{device}", "/audit"):
        page = visitor.page(url)
        assert HOSTILE not in page
        assert "<script>" not in page
    assert HOSTILE in told(visitor.page("/fleet"))


def test_a_search_finds_by_attribute_health_and_part_of_a_name(
    serving: Hub, visitor: Visitor
) -> None:
    here, there = joined(serving, region="eu west"), joined(serving, region="us")
    with serving.engine.begin() as db:
        db.execute(update(devices).where(devices.c.device == there).values(seen_at=0.0))
    for query, found in {
        'region="eu west"': here, "region=us": there, "health:lost": there, here[:5]: here,
        "health:pending model:demo": here,
    }.items():  # fmt: skip
        page = visitor.page("/fleet?q=" + query.replace(" ", "+").replace('"', "%22"))
        assert {each for each in (here, there) if f"/devices/{each}" in page} == {found}, query
    assert "No device is found" in told(visitor.page("/fleet?q=region=mars"))


def test_a_search_is_saved_as_a_group_used_and_removed(serving: Hub, visitor: Visitor) -> None:
    here, there = joined(serving, region="eu"), joined(serving, region="us")
    assert visitor.send("/fleet/groups/new?q=x", name=" ", search="x").status == 422
    saved = visitor.send("/fleet/groups/new?q=region%3Deu", name="<Europe>", search="region=eu")
    assert saved.headers["location"] == "/fleet?q=region%3Deu"
    page = visitor.page("/fleet?q=region%3Deu")
    assert "<Europe>" in told(page)
    assert "<Europe>" not in page
    found = [each["device"] for each in asked(visitor, "/v1/devices?search=region%3Deu")]
    assert found == [here]
    assert there not in page
    assert [each["name"] for each in asked(visitor, "/v1/device-groups")] == ["<Europe>"]
    form = re.search(r'name="csrf" value="([^"]+)"', page)
    assert form is not None
    gone = visitor.ask("/fleet/groups/<Europe>/remove", {"csrf": form[1]})
    assert gone.status == 303
    assert asked(visitor, "/v1/device-groups") == []
    assert [e.action for e in serving.audit.entries(actor="admin")][-2:] == ["group", "ungroup"]


def asked(visitor: Visitor, url: str) -> Any:
    """What the API answers to whoever has the session."""
    return json.loads(visitor.page(url))


def test_a_device_page_shows_what_happened_and_what_it_reported(
    serving: Hub, visitor: Visitor
) -> None:
    device = joined(serving, region="eu")
    now = int(serving.fleet.on_device(device)[0].seen_at)
    latency = [0] * 64
    latency[20] = 7
    window = {
        "device": device, "model": "demo", "version": "1.0", "arm": "incumbent", "start": now - 600,
        "end": now, "observations": 7, "predictions": 7, "failures": 0, "summed": 1,
        "body": {
            "predictions": {"model": 7}, "errors": {"input": 2}, "latency": {"model": latency},
        },
    }  # fmt: skip
    with serving.engine.begin() as db:
        db.execute(insert(reports).values(**window))
        db.execute(
            insert(events).values(
                device=device, model="demo", version="1.1", outcome="failed", step="probe",
                reason="golden vector 3: got nan", at=now,
            )
        )  # fmt: skip
    text = told(visitor.page(f"/devices/{device}"))
    assert "failed 1.1" in text
    assert "probe: golden vector 3: got nan" in text
    assert "Joined the fleet" in text
    assert "1.0 7 2 38.05 µs" in text


def test_revoking_asks_first_takes_a_reason_and_names_the_person(
    serving: Hub, visitor: Visitor
) -> None:
    device = joined(serving)
    question = told(visitor.page(f"/devices/{device}/revoke"))
    assert "what it sends does not count" in question
    assert visitor.send(f"/devices/{device}/revoke", reason=" ").status == 422
    answer = visitor.send(f"/devices/{device}/revoke", reason="stolen")
    assert answer.headers["location"] == f"/devices/{device}"
    assert serving.fleet.identities.get(device).standing == "revoked"
    entry = serving.audit.entries(action="revoke")[-1]
    assert (entry.actor, entry.detail["reason"]) == ("admin", "stolen")
    page = told(visitor.page(f"/devices/{device}"))
    assert f"{device} is revoked." in page
    assert "is revoked." not in told(visitor.page(f"/devices/{device}"))  # said once
    assert visitor.send(f"/devices/{device}/approve").status == 303
    assert visitor.send(f"/devices/{device}/forget", reason="sold").headers["location"] == "/fleet"
    assert visitor.ask(f"/devices/{device}").status == 404


def test_a_thousand_devices_are_a_page_of_fifty(serving: Hub, visitor: Visitor) -> None:
    names = [f"d{i:04}" for i in range(1_000)]
    who = {"standing": "active", "changed_at": 0.0, "enrolled_by": "t", "attributes": {}}
    what = {"model": "demo", "enrolled_at": 0.0, "seen_at": 0.0, "failed": [], "software": {}}
    with serving.engine.begin() as db:
        db.execute(
            insert(identities),
            [who | {"device": d, "public_key": d, "vouched_by": d, "generation": 0} for d in names],
        )
        db.execute(
            insert(devices),
            [what | {"device": d, "attributes": {"line": d[-1]}, "plan": 1} for d in names],
        )
    page = visitor.page("/fleet?page=20")
    assert page.count('<a href="/devices/') == 50
    assert "page 20 of 20" in told(page)
    assert len(page.encode()) < 50_000
    assert "1,000" in told(visitor.page("/"))


@pytest.mark.parametrize("what", ["reset", "revoke/x", ".."])
def test_there_is_nothing_else_to_do_to_a_device(visitor: Visitor, what: str) -> None:
    assert visitor.ask(f"/devices/d/{what}").status in (404, 422)
